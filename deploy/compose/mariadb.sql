-- The application's user and database, and a master without SUPER that can grant its own privileges.
CREATE DATABASE shop;
CREATE USER shop@'%' IDENTIFIED BY 'shop-change-me';
GRANT ALL PRIVILEGES ON shop.* TO shop@'%';
CREATE USER shop_admin@'%' IDENTIFIED BY 'admin-change-me';
GRANT CREATE USER, PROCESS ON *.* TO shop_admin@'%';
GRANT SELECT ON mysql.* TO shop_admin@'%';
GRANT ALL PRIVILEGES ON shop.* TO shop_admin@'%' WITH GRANT OPTION;
