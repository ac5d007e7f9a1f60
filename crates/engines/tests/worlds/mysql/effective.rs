//! What a user can do, tried by statements of its own session.

use std::collections::BTreeMap;

use sqlx::mysql::MySqlConnection;
use twinkey_engines::Credentials;
use twinkey_testkit::rng::Rng;

use super::server::{Server, ident, literal, rows};
use super::world::World;

/// Statement -> its answer, or the number of its error.
pub type Abilities = BTreeMap<String, Result<String, u16>>;

/// Statements that one session tries.
const MOST: usize = 60;

/// Statements about the objects that exist. Each changes nothing.
pub async fn statements(world: &World, root: &mut MySqlConnection) -> Vec<String> {
    let schemas: Vec<String> = world.schemas.iter().map(|schema| literal(schema)).collect();
    let schemas = schemas.join(", ");
    let mut all = Vec::new();
    let tables = format!(
        "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA IN ({schemas})"
    );
    for row in rows(root, &tables).await.unwrap() {
        let name = format!("{}.{}", ident(&row[0]), ident(&row[1]));
        all.extend([
            format!("SELECT * FROM {name} LIMIT 1"),
            format!("SELECT note FROM {name} LIMIT 1"),
            format!("SELECT id FROM {name} LIMIT 1"),
            format!("SELECT `od``d c` FROM {name} LIMIT 1"),
            format!("UPDATE {name} SET note = 'x' WHERE 1 = 0"),
            format!("INSERT INTO {name} (id) SELECT 1 FROM DUAL WHERE 1 = 0"),
            format!("DELETE FROM {name} WHERE 1 = 0"),
            format!("SHOW CREATE TABLE {name}"),
        ]);
    }
    let routines = format!(
        "SELECT ROUTINE_TYPE, ROUTINE_SCHEMA, ROUTINE_NAME, DEFINER FROM information_schema.ROUTINES \
         WHERE ROUTINE_SCHEMA IN ({schemas})"
    );
    for row in rows(root, &routines).await.unwrap() {
        let name = format!("{}.{}", ident(&row[1]), ident(&row[2]));
        let (definer, _) = row[3].rsplit_once('@').unwrap_or_default();
        // Called by another user, a routine has the privileges of its DEFINER without its roles. Its
        // DEFINER also sees the text.
        if definer == world.pair.base {
            continue;
        }
        all.push(match row[0].as_str() {
            "PROCEDURE" => format!("CALL {name}()"),
            "FUNCTION" => format!("SELECT {name}()"),
            _ => format!("CALL {name}.p1()"),
        });
        all.push(format!("SHOW CREATE {} {name}", row[0]));
    }
    let rng = Rng::new(world.seed);
    while all.len() > MOST {
        let at = usize::try_from(rng.below(all.len() as u64)).unwrap();
        all.swap_remove(at);
    }
    all.push("SHOW DATABASES".to_owned());
    all.push(format!(
        "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA IN ({schemas}) ORDER BY 1, 2"
    ));
    all.push("SELECT CURRENT_ROLE()".to_owned());
    for role in &world.roles {
        all.push(format!("SET ROLE {role}"));
        // The role makes other columns visible.
        all.push(format!(
            "SELECT {}, COUNT(*) FROM information_schema.COLUMNS WHERE TABLE_SCHEMA IN ({schemas})",
            literal(role)
        ));
    }
    all
}

/// Tries the statements as this user; `None` where the driver cannot sign in with its method.
pub async fn abilities(
    server: &Server,
    who: &Credentials,
    statements: &[String],
) -> Option<Abilities> {
    let mut session = server.connect(who).await.ok()?;
    let mut all = Abilities::new();
    for statement in statements {
        let answer = rows(&mut session, statement).await;
        let answer = answer
            .map(|rows| format!("{rows:?}"))
            .map_err(|error| match error.0 {
                // Denied on a column; on the table, where no column is granted either.
                1143 => 1142,
                number => number,
            });
        all.insert(statement.clone(), answer);
    }
    Some(all)
}
