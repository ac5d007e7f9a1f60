//! placeholder until the clock lands
#[derive(Clone, Debug)]
pub struct Clock;
impl Clock {
    pub fn now(&self) -> chrono::DateTime<chrono::Utc> {
        chrono::Utc::now()
    }
    pub async fn sleep_until(&self, _at: chrono::DateTime<chrono::Utc>) {}
}
