//! Rules of Amazon DocumentDB that the MongoDB-wire server does not follow. The relay applies them.
//!
//! The sources are the Developer Guide ("Database access using role-based access control",
//! "Functional differences: Amazon DocumentDB and MongoDB") and a public experiment on version 5.0,
//! which read `currentOp`.

use mongodb::bson::{Bson, Document, doc};

/// One rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DocumentdbRule {
    /// `currentOp` reports the user of a connection only while it runs an operation.
    IdleConnectionsHaveNoUser,
    /// There is no role `userAdmin`.
    NoUserAdmin,
    /// All users are in `admin`, and `usersInfo` ignores the database of the request. The guide does
    /// not describe the second half.
    UsersInfoIgnoresDatabase,
    /// `connectionStatus` lists privileges without `inprog`, which `clusterMonitor` implies.
    PrivilegesWithoutInprog,
}

/// What the relay does with a command.
pub(super) enum RuledCommand {
    Unchanged,
    Changed(Document),
    Answered(Document),
}

/// Applies the rules to a command.
pub(super) fn on_command(rules: &[DocumentdbRule], mut command: Document) -> RuledCommand {
    let has = |rule| rules.contains(&rule);
    let text = format!("{command}");
    let about_roles = ["grantRolesToUser", "createUser", "rolesInfo"];
    let name = command.keys().next().cloned().unwrap_or_default();
    if has(DocumentdbRule::NoUserAdmin)
        && about_roles.contains(&name.as_str())
        && text.contains("\"userAdmin\"")
    {
        return RuledCommand::Answered(match name.as_str() {
            "rolesInfo" => doc! { "roles": [], "ok": 1.0 },
            _ => doc! {
                "ok": 0.0, "code": 31, "codeName": "RoleNotFound",
                "errmsg": "Role userAdmin@admin not found",
            },
        });
    }
    if has(DocumentdbRule::UsersInfoIgnoresDatabase)
        && let Some(Bson::Document(filter)) = command.get_mut("usersInfo")
    {
        filter.insert("db", "admin");
        command.insert("$db", "admin");
        return RuledCommand::Changed(command);
    }
    RuledCommand::Unchanged
}

/// Applies the rules to a response; `None`: it is unchanged.
///
/// The server marks idle connections as active. That is corrected without rules.
pub(super) fn on_response(rules: &[DocumentdbRule], mut response: Document) -> Option<Document> {
    let has = |rule| rules.contains(&rule);
    if let Ok(all) = response.get_array_mut("inprog") {
        let connections = all.iter_mut().filter_map(Bson::as_document_mut);
        for one in connections.filter(|one| one.contains_key("client")) {
            // The requester's own connection runs an operation.
            if one.get_str("op").is_ok_and(|op| op == "currentOp") {
                continue;
            }
            one.insert("active", false);
            if has(DocumentdbRule::IdleConnectionsHaveNoUser) {
                one.remove("effectiveUsers");
                one.insert("desc", "Conn");
                if let Some(metadata) = one.remove("clientMetadata") {
                    one.insert("clientMetaData", metadata);
                }
            }
        }
        return Some(response);
    }
    if has(DocumentdbRule::PrivilegesWithoutInprog)
        && let Ok(info) = response.get_document_mut("authInfo")
    {
        let everywhere = doc! { "db": "", "collection": "" };
        let users = [
            "changePassword",
            "createUser",
            "grantRole",
            "revokeRole",
            "viewUser",
        ];
        let locks = doc! { "db": "twinkey", "collection": "" };
        let writes = ["find", "insert", "remove", "update"];
        let cluster = doc! { "cluster": true };
        info.insert(
            "authenticatedUserPrivileges",
            vec![
                doc! { "resource": everywhere, "actions": &users[..] },
                doc! { "resource": locks, "actions": &writes[..] },
                doc! { "resource": cluster, "actions": ["serverStatus"] },
            ],
        );
        return Some(response);
    }
    None
}
