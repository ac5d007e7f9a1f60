//! The dashboard, as a browser without scripts uses it.

mod forms;
mod sign_in;

use reqwest::header::{COOKIE, LOCATION, SET_COOKIE};
use reqwest::redirect::Policy;
use reqwest::{Client, Method, RequestBuilder, Response};

/// A client that keeps the session cookie and follows no redirect.
pub struct DashboardClient {
    client: Client,
    url: String,
    pub cookie: String,
}

/// A response with its body.
pub struct Page {
    pub status: u16,
    pub location: String,
    pub cookie: String,
    pub html: String,
}

impl DashboardClient {
    pub fn new(url: &str) -> Self {
        let client = Client::builder().redirect(Policy::none()).build().unwrap();
        Self {
            client,
            url: url.to_owned(),
            cookie: String::new(),
        }
    }

    /// A client with a session.
    pub async fn signed_in(url: &str, token: &str) -> Self {
        let mut session = Self::new(url);
        let page = session.post("/sign-in", &[("token", token)]).await;
        assert_eq!((page.status, page.location.as_str()), (303, "/"));
        session.cookie = page.cookie.split(';').next().unwrap().to_owned();
        session
    }

    /// A request with the cookie, if there is one.
    pub fn ask(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.url));
        if self.cookie.is_empty() {
            return request;
        }
        request.header(COOKIE, &self.cookie)
    }

    pub async fn get(&self, path: &str) -> Page {
        read(self.ask(Method::GET, path).send().await.unwrap()).await
    }

    /// Sends a form with these fields only.
    pub async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Page {
        let url = reqwest::Url::parse_with_params("http://x/", fields).unwrap();
        let request = self
            .ask(Method::POST, path)
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body(url.query().unwrap_or_default().to_owned());
        read(request.send().await.unwrap()).await
    }

    /// The CSRF token of this session, from a confirmation page.
    pub async fn csrf_token(&self) -> String {
        let page = self.get("/rotations/shop/pause").await;
        assert_eq!(page.status, 200, "{}", page.html);
        page.field("csrf_token")
    }

    /// Opens the confirmation of an action and sends its form.
    pub async fn act(&self, action: &str, fields: &[(&str, &str)]) -> Page {
        let path = format!("/rotations/shop/{action}");
        let asked = self.get(&path).await;
        assert_eq!(asked.status, 200, "{}", asked.html);
        let csrf_token = asked.field("csrf_token");
        let mut all = vec![("csrf_token", csrf_token.as_str())];
        all.extend(fields);
        self.post(&path, &all).await
    }
}

async fn read(answer: Response) -> Page {
    let header = |name| {
        let value = answer.headers().get(name);
        value.map_or_else(String::new, |value| value.to_str().unwrap().to_owned())
    };
    Page {
        status: answer.status().as_u16(),
        location: header(LOCATION),
        cookie: header(SET_COOKIE),
        html: answer.text().await.unwrap(),
    }
}

impl Page {
    /// The value of a hidden field.
    pub fn field(&self, name: &str) -> String {
        let before = format!("name=\"{name}\" value=\"");
        let (_, rest) = self.html.split_once(&before).unwrap_or_else(|| {
            panic!("no field {name}: {}", self.html);
        });
        rest.split('"').next().unwrap().to_owned()
    }

    pub fn has(&self, part: &str) {
        assert!(self.html.contains(part), "{part:?} is not in {}", self.html);
    }
}
