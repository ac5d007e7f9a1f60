//! Features of PostgreSQL that Redshift does not have.

use super::lex::Token;

/// Relations, functions and types that Redshift does not have.
const UNKNOWN: [(&str, &str); 5] = [
    (
        "relation",
        "pg_stat_activity pg_roles pg_authid pg_auth_members pg_shdescription pg_shdepend pg_db_role_setting pg_policies \
         pg_sequences pg_matviews",
    ),
    (
        "function",
        "pg_advisory_lock pg_advisory_unlock pg_advisory_xact_lock pg_try_advisory_lock \
         pg_try_advisory_xact_lock pg_advisory_lock_shared pg_try_advisory_lock_shared pg_sleep set_config \
         string_agg array_agg unnest aclexplode pg_has_role json_agg jsonb_agg to_json to_jsonb \
         row_to_json json_build_object jsonb_build_object filter format gen_random_uuid \
         clock_timestamp statement_timestamp transaction_timestamp pg_identify_object pg_reload_conf \
         regexp_matches regexp_split_to_table dblink lo_import pg_read_file",
    ),
    (
        "type",
        "json jsonb uuid regrole regnamespace bytea hstore xml citext inet cidr serial bigserial",
    ),
    ("schema", "pg_stand_in"),
    (
        "keyword",
        "lateral tablesample returning concurrently reassign unlogged listen notify",
    ),
];

/// Rejects what Redshift would reject.
///
/// # Errors
/// The server's message.
pub fn check(all: &[Token]) -> Result<(), String> {
    for (at, token) in all.iter().enumerate() {
        let word = match token {
            Token::Word(word) | Token::Quoted { exact: word, .. } => word.to_ascii_lowercase(),
            Token::Symbol(symbol) if symbol == "$" => {
                return Err("syntax error at or near \"$\"".into());
            }
            _ => continue,
        };
        let is_quoted = matches!(token, Token::Quoted { .. });
        if !is_quoted && word == "e" && matches!(all.get(at + 1), Some(Token::Text(_))) {
            return Err("type \"e\" does not exist".into());
        }
        let unknown = UNKNOWN
            .iter()
            .find(|(_, words)| words.split_whitespace().any(|w| w == word));
        let called = matches!(all.get(at + 1), Some(Token::Symbol(open)) if open == "(");
        let cast = at > 0 && matches!(&all[at - 1], Token::Symbol(cast) if cast == "::");
        // A schema of temporary tables exists for its own session only.
        if word.starts_with("pg_temp_") {
            return Err(format!("schema \"{word}\" does not exist"));
        }
        match unknown {
            Some(("relation", _)) => return Err(format!("relation \"{word}\" does not exist")),
            Some(("schema", _)) => return Err(format!("schema \"{word}\" does not exist")),
            Some(("function", _)) if called => {
                return Err(format!("function {word}() does not exist"));
            }
            Some(("type", _)) if cast && !is_quoted => {
                return Err(format!("type \"{word}\" does not exist"));
            }
            Some(("keyword", _)) if !is_quoted => {
                return Err(format!("syntax error at or near \"{word}\""));
            }
            _ => {}
        }
    }
    Ok(())
}
