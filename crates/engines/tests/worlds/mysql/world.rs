//! A world: names, accounts and script, determined by a seed.

use twinkey_core::secret::Sensitive;
use twinkey_core::secret::pair::Pair;
use twinkey_engines::Credentials;
use twinkey_testkit::rng::Rng;

use super::server::{Server, account, ident, literal};
use super::statements::Statements;

/// A statement of the script. The superuser executes it.
#[derive(Debug, Clone)]
pub struct Step {
    pub kind: &'static str,
    pub sql: String,
    /// That the statement drops or makes invalid.
    pub object: Option<String>,
    /// MariaDB's packages need `sql_mode = ORACLE`.
    pub oracle: bool,
    /// A world without it is none.
    pub required: bool,
}

/// Names of a world. All are in backquotes but the pair's and the schemas'.
pub struct World {
    pub seed: u64,
    pub pair: Pair,
    pub base: Credentials,
    pub schemas: [String; 3],
    /// Hosts of the base user's accounts. The server selects one of them for the test.
    pub hosts: Vec<String>,
    pub has_clone: bool,
    pub roles: Vec<String>,
    pub others: Vec<String>,
    /// The master has the privileges that RDS gives, and not only the documented ones.
    pub broad_master: bool,
    pub steps: Vec<Step>,
}

/// Those that the server can select for the test.
const SELECTED: [&str; 5] = ["%", "localhost", "127.%", "127.0.0.0/255.0.0.0", "%"];

const ELSEWHERE: [&str; 6] = [
    "10.%",
    "192.168.0.0/255.255.0.0",
    "db.internal",
    "%.Example.com",
    "fe80::1",
    "10.0.0._",
];

pub fn pick<'a, T: ?Sized>(rng: &Rng, all: &[&'a T]) -> &'a T {
    all[usize::try_from(rng.below(all.len() as u64)).unwrap()]
}

/// Each with a chance of one in `of`, at least one.
pub fn some<T: Clone>(rng: &Rng, all: &[T], of: u64) -> Vec<T> {
    let mut some: Vec<T> = all.iter().filter(|_| rng.below(of) == 0).cloned().collect();
    if some.is_empty() {
        some.push(all[usize::try_from(rng.below(all.len() as u64)).unwrap()].clone());
    }
    some
}

fn base_name(server: &Server, rng: &Rng, seed: u64) -> String {
    match rng.below(6) {
        0 => format!("W{seed} App"),
        1 => format!(r#"w{seed}a`b'c"\"#),
        2 => format!("w{seed}%üñ@x_"),
        3 => {
            let longest = if server.is_mariadb() { 80 } else { 32 };
            let start = format!("w{seed}_");
            format!("{start}{}", "x".repeat(longest - 6 - start.len()))
        }
        _ => format!("w{seed}_app"),
    }
}

impl World {
    pub fn new(server: &Server, seed: u64) -> Self {
        let rng = Rng::new(seed);
        let name = base_name(server, &rng, seed);
        let mut hosts = vec![pick(&rng, &SELECTED).to_owned()];
        for host in ELSEWHERE {
            if rng.below(8) == 0 {
                hosts.push(host.to_owned());
            }
        }
        let role = |name: String| {
            if server.is_mariadb() {
                ident(&name)
            } else {
                account(
                    &name,
                    if name.len().is_multiple_of(2) {
                        "%"
                    } else {
                        "localhost"
                    },
                )
            }
        };
        let pair = Pair::of(&name, "_clone");
        let mut world = Self {
            seed,
            base: Credentials {
                username: name,
                password: Sensitive::from(format!("Base-password-{seed}")),
            },
            schemas: [
                format!("w{seed}_shop"),
                format!("w{seed}xshop"),
                format!("W{seed} a`b%c\\d"),
            ],
            hosts,
            has_clone: rng.below(3) == 0,
            roles: vec![
                role(format!("w{seed}_readers")),
                role(format!("W{seed} wri`ters")),
                role(format!("w{seed}_nested_")),
            ],
            others: vec![
                account(&format!("w{seed}_third"), "%"),
                account(&format!("w{seed}_app2"), "10.%"),
                account(&pair.base.to_lowercase(), "third.example"),
            ],
            broad_master: rng.below(3) == 0,
            pair,
            steps: Vec::new(),
        };
        // Another user than the base user only where names differ in case.
        if world.pair.base.to_lowercase() == world.pair.base {
            world.others.pop();
        }
        world.steps = Statements::new(server, &world, &rng).all();
        world
    }

    /// The accounts of the base user.
    pub fn of_base(&self) -> Vec<String> {
        let account = |host: &String| account(&self.pair.base, host);
        self.hosts.iter().map(account).collect()
    }

    /// The accounts of the clone that exist before the first rotation.
    pub fn of_clone(&self) -> Vec<String> {
        let hosts = self.hosts.iter().filter(|_| self.has_clone);
        hosts.map(|host| account(&self.pair.clone, host)).collect()
    }

    /// Names of objects that are missing or invalid.
    pub fn missing(&self) -> impl Iterator<Item = &String> {
        self.steps.iter().filter_map(|step| step.object.as_ref())
    }

    /// The server's memory and its tables hold routines of such users under different names.
    pub fn has_plain_names(&self) -> bool {
        self.pair.base.is_ascii()
    }

    /// The statements as a script for a client.
    pub fn script(&self) -> String {
        let mut script = format!("-- world {}\n{};\n", self.seed, super::server::MODE);
        for step in &self.steps {
            let mode = |mode: &str| format!("SET sql_mode = {};\n", literal(mode));
            if step.oracle {
                script += &format!(
                    "{}DELIMITER //\n{}//\nDELIMITER ;\n{}",
                    mode("ORACLE"),
                    step.sql,
                    mode("NO_BACKSLASH_ESCAPES")
                );
            } else {
                script += &format!("{};\n", step.sql);
            }
        }
        script
    }
}
