-- The application's user and database, and a master as on RDS: CREATEROLE, but no superuser.
CREATE ROLE shop LOGIN PASSWORD 'shop-change-me';
CREATE DATABASE shop OWNER shop;
CREATE ROLE shop_admin LOGIN CREATEROLE PASSWORD 'admin-change-me';
GRANT shop TO shop_admin WITH ADMIN OPTION, INHERIT FALSE, SET FALSE;
GRANT pg_read_all_stats TO shop_admin;
