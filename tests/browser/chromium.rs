//! A headless Chromium, controlled by chromedriver over WebDriver (JSON over HTTP, W3C
//! Recommendation "WebDriver"), with commands of Chrome where WebDriver has none.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Client, Method};
use serde_json::{Value as Json, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use twinkey_testkit::environment::{free_address, until};

const DRIVER: &str = "/usr/bin/chromedriver";
/// The key of an element reference in WebDriver.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// One window. Dropping it closes it.
pub struct Browser {
    client: Client,
    session: String,
    _driver: Child,
    _profile: TempDir,
}

impl Drop for Browser {
    /// Ends the session before the driver, which would otherwise leave its Chromium running. It
    /// blocks, because a drop cannot await.
    fn drop(&mut self) {
        let Some((address, path)) = self
            .session
            .strip_prefix("http://")
            .and_then(|rest| rest.split_once('/'))
        else {
            return;
        };
        let request =
            format!("DELETE /{path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        if let Ok(mut stream) = TcpStream::connect(address) {
            // The response arrives after Chromium has exited. An error has no remedy here.
            let _ = stream.set_read_timeout(Some(Duration::from_secs(10)));
            let _ = stream.write_all(request.as_bytes());
            let _ = stream.read(&mut [0; 512]);
        }
    }
}

impl Browser {
    pub async fn open() -> Self {
        let address = free_address();
        let port = address.rsplit(':').next().unwrap();
        let driver = Command::new(DRIVER)
            .arg(format!("--port={port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("chromium and chromium-driver are installed by make test-browser");
        let (client, url) = (Client::new(), format!("http://{address}"));
        until("chromedriver is ready", async || {
            let status = client.get(format!("{url}/status")).send().await;
            status.is_ok_and(|answer| answer.status().is_success())
        })
        .await;
        let profile = tempfile::tempdir().unwrap();
        let folder = format!("--user-data-dir={}", profile.path().display());
        let args = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--window-size=1280,900",
            &folder,
        ];
        let wanted =
            json!({"capabilities": {"alwaysMatch": {"goog:chromeOptions": {"args": args}}}});
        let new = client.post(format!("{url}/session")).json(&wanted);
        let answer: Json = new.send().await.unwrap().json().await.unwrap();
        let id = answer["value"]["sessionId"]
            .as_str()
            .unwrap_or_else(|| panic!("{answer}"));
        Self {
            session: format!("{url}/session/{id}"),
            client,
            _driver: driver,
            _profile: profile,
        }
    }

    async fn ask(&self, method: Method, path: &str, body: Json) -> Json {
        let answer = self.try_ask(method, path, &body).await;
        answer.unwrap_or_else(|error| panic!("{path} {body}: {error}"))
    }

    /// The response of the driver, or its error.
    async fn try_ask(&self, method: Method, path: &str, body: &Json) -> Result<Json, Json> {
        let mut request = self
            .client
            .request(method.clone(), format!("{}/{path}", self.session));
        if method == Method::POST {
            request = request.json(body);
        }
        let answer = request.send().await.unwrap();
        let good = answer.status().is_success();
        let said = answer.json::<Json>().await.unwrap()["value"].take();
        if good { Ok(said) } else { Err(said) }
    }

    pub async fn go(&self, url: &str) {
        self.ask(Method::POST, "url", json!({"url": url})).await;
    }

    pub async fn path(&self) -> String {
        self.script("return location.pathname")
            .await
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// Runs a script in the page, and returns its result.
    pub async fn script(&self, text: &str) -> Json {
        self.ask(
            Method::POST,
            "execute/sync",
            json!({"script": text, "args": []}),
        )
        .await
    }

    /// Runs a script that returns its result by a call of its last argument.
    pub async fn script_later(&self, text: &str) -> Json {
        self.ask(
            Method::POST,
            "execute/async",
            json!({"script": text, "args": []}),
        )
        .await
    }

    async fn element(&self, css: &str) -> String {
        let query = json!({"using": "css selector", "value": css});
        let found = self.ask(Method::POST, "element", query).await;
        found[ELEMENT].as_str().unwrap().to_owned()
    }

    /// Clicks a visible element. If the page replaced the element meanwhile, the new one is
    /// clicked.
    pub async fn click(&self, css: &str) {
        until(css, async || {
            let path = format!("element/{}/click", self.element(css).await);
            let clicked = self.try_ask(Method::POST, &path, &json!({})).await;
            let moved = clicked
                .as_ref()
                .is_err_and(|e| e["error"] == "stale element reference");
            assert!(clicked.is_ok() || moved, "{css}: {clicked:?}");
            !moved
        })
        .await;
    }

    pub async fn write(&self, css: &str, text: &str) {
        let element = self.element(css).await;
        let keys = json!({"text": text});
        self.ask(Method::POST, &format!("element/{element}/value"), keys)
            .await;
    }

    /// Presses a key in the focused element. Keys without a letter have code points in WebDriver.
    pub async fn press(&self, key: &str) {
        let keys = [
            json!({"type": "keyDown", "value": key}),
            json!({"type": "keyUp", "value": key}),
        ];
        let actions = json!({"actions": [{"type": "key", "id": "keyboard", "actions": keys}]});
        self.ask(Method::POST, "actions", actions).await;
    }

    /// The visible text of the page.
    pub async fn text(&self) -> String {
        self.script("return document.body.innerText")
            .await
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// Waits until the page shows a text.
    pub async fn shows(&self, text: &str) {
        until(text, async || self.text().await.contains(text)).await;
    }

    /// A command of the Chrome DevTools Protocol.
    async fn chrome(&self, command: &str, params: Json) -> Json {
        let command = json!({"cmd": command, "params": params});
        self.ask(Method::POST, "goog/cdp/execute", command).await
    }

    /// Sets the preferred colour scheme to `light` or `dark`.
    pub async fn prefers(&self, scheme: &str) {
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        self.chrome("Emulation.setEmulatedMedia", json!({"features": features}))
            .await;
    }

    /// Sets the width of the screen.
    pub async fn width(&self, width: u32) {
        let screen =
            json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600});
        self.chrome("Emulation.setDeviceMetricsOverride", screen)
            .await;
    }

    /// Writes a picture of the whole page.
    pub async fn picture(&self, file: &Path) {
        let wanted = json!({"format": "png", "captureBeyondViewport": true});
        let taken = self.chrome("Page.captureScreenshot", wanted).await;
        let bytes = STANDARD.decode(taken["data"].as_str().unwrap()).unwrap();
        std::fs::write(file, bytes).unwrap();
    }
}
