//! The steps of a setup or a fix.

use aws_sdk_secretsmanager::primitives::Blob;
use secrecy::SecretString;
use serde_json::{Map, Value as Json, json};
use twinkey_stores::{SecretStore, VersionId, stage};
use twinkey_testkit::aws::sdk_config;
use twinkey_testkit::environment::FIRST;

use super::super::MatrixEngine;
use super::super::row::Step;
use super::Cell;

impl<E: MatrixEngine> Cell<'_, E> {
    /// Carries out one step.
    pub async fn step(&mut self, step: &Step) {
        let faults = self.engine.stand_in().faults();
        let (secret, master) = (self.secret(), self.master_secret());
        match step {
            Step::Sql(sql) => self.execute(&self.names.database, sql).await,
            Step::ServerSql(sql) => self.execute(E::SERVER_DATABASE, sql).await,
            Step::Secret(fields) => {
                let fields = self.filled_fields(fields);
                self.edit(&secret, |document| document.extend(fields)).await;
            }
            Step::SecretWithout(field) => self.edit(&secret, |d| drop(d.remove(field))).await,
            Step::SecretOfBytes(length) => {
                let pad = |document: &mut Map<String, Json>| {
                    document.insert("padding".into(), json!(""));
                    let missing = length - Json::Object(document.clone()).to_string().len();
                    document.insert("padding".into(), json!("x".repeat(missing)));
                };
                self.edit(&secret, pad).await;
            }
            Step::Master(fields) => {
                let fields = self.filled_fields(fields);
                self.edit(&master, |document| document.extend(fields)).await;
            }
            Step::MasterWithout(field) => self.edit(&master, |d| drop(d.remove(field))).await,
            Step::SecretText(text) => self.put(&secret, text).await,
            Step::SecretBinary => {
                let client = self.client();
                let put = client.put_secret_value().secret_id(secret);
                let binary = Blob::new([0, 1, 2]);
                put.secret_binary(binary).send().await.unwrap();
            }
            Step::Restore => self.restore().await,
            Step::DeleteSecret => self.delete(secret).await,
            Step::DeleteMaster => self.delete(master).await,
            Step::Set(key, value) => self.set(key, Some(&self.filled(value))),
            Step::Unset(key) => self.set(key, None),
            Step::Config(from, to) => {
                let text = std::fs::read_to_string(self.config()).unwrap();
                let (from, to) = (self.filled(from), self.filled(to));
                assert!(text.contains(&from), "{from} is not in {text}");
                std::fs::write(self.config(), text.replace(&from, &to)).unwrap();
            }
            Step::Sessions(login, count) => {
                for _ in 0..*count {
                    let session = self.sign_in(*login).await.unwrap();
                    self.sessions.push(session);
                }
            }
            Step::AllSessions(login) => {
                while let Ok(session) = self.sign_in(*login).await {
                    self.sessions.push(session);
                }
            }
            Step::Held(login, sql) => {
                let mut session = self.sign_in(*login).await.unwrap();
                let sql = self.filled(sql);
                E::execute_in(&mut session, &sql).await;
                self.sessions.push(session);
            }
            Step::CloseSessions => {
                for session in self.sessions.drain(..) {
                    E::close(session).await;
                }
            }
            Step::Run(args) => {
                let args: Vec<&str> = args.iter().map(String::as_str).collect();
                let printed = self.twinkey(&args).await;
                assert_eq!(printed.status, Some(0), "{args:?}: {}", printed.message);
            }
            Step::NoJournal => {
                for file in ["journal.db", "journal.db-wal", "journal.db-shm"] {
                    // The last two exist after a kill only.
                    let _ = std::fs::remove_file(self.folder.join(file));
                }
            }
            Step::ForeignPending => {
                let id = VersionId(uuid::Uuid::new_v4().to_string());
                let document = self.document(&self.names.user, "Another-0123456789");
                let value = SecretString::from(document.to_string());
                let store = self.stand_in().store();
                let put = store.put(&secret, &id, &value, stage::PENDING);
                put.await.unwrap();
            }
            Step::NoPending => {
                let store = self.stand_in().store();
                let description = store.describe(&secret).await.unwrap();
                let pending = description.labelled(stage::PENDING).cloned();
                let removed = store.move_stage(&secret, stage::PENDING, pending.as_ref(), None);
                removed.await.unwrap();
            }
            Step::Describe(fields) => {
                faults.patch_description(&secret, Json::Object(fields.clone()));
            }
            Step::StoreAnswers(action, error) => {
                let [action, error] = [action, error].map(|text| &*text.clone().leak());
                faults.answer(action, usize::MAX, 400, error);
            }
            Step::StoreWorks => faults.forget_answers(),
            Step::OtherRotation => {
                let other = self.other_secret();
                let (document, _) = self.read(&secret, stage::CURRENT).await.unwrap();
                self.put(&other, &document.to_string()).await;
                let text = std::fs::read_to_string(self.config()).unwrap();
                // Other steps append keys of the rotation.
                let (before, own) = text.split_at(text.find("[[rotation]]").unwrap());
                let text = format!("{before}{}{own}", self.rotation("other", &other));
                std::fs::write(self.config(), text).unwrap();
            }
            Step::OtherSecret(fields) => {
                let fields = self.filled_fields(fields);
                let other = self.other_secret();
                self.edit(&other, |document| document.extend(fields)).await;
            }
            Step::Engine(name) => E::act(self, name).await,
        }
    }

    pub(super) fn filled(&self, text: &str) -> String {
        let names = &self.names;
        text.replace("{user}", &names.user)
            .replace("{clone}", &names.clone)
            .replace("{master}", &names.master)
            .replace("{database}", &names.database)
            .replace("{password}", FIRST)
    }

    fn filled_fields(&self, fields: &Map<String, Json>) -> Map<String, Json> {
        let filled = |value: &Json| match value {
            Json::String(text) => self.filled(text).into(),
            other => other.clone(),
        };
        let fields = fields.iter();
        fields
            .map(|(name, value)| (name.clone(), filled(value)))
            .collect()
    }

    async fn execute(&self, database: &str, statement: &str) {
        let statement = self.filled(statement);
        let done = self.engine.execute(database, &statement).await;
        done.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }

    fn client(&self) -> aws_sdk_secretsmanager::Client {
        aws_sdk_secretsmanager::Client::new(&sdk_config(&self.stand_in().url()))
    }

    async fn delete(&self, secret: String) {
        let client = self.client();
        let delete = client.delete_secret().secret_id(secret);
        let delete = delete.force_delete_without_recovery(true);
        delete.send().await.unwrap();
    }
}
