//! getSession by a bearer token and by one that is bound to a key, and the login that gives the latter.
//!
//! The client is a loopback one. Its proofs cost the driver more than the server, which the figures of the server's
//! processor time leave out and the rates do not. The pages are asked for as a browser does: ours are forms, the reference
//! server's are a program that calls a JSON API of its own, which is called here (its files, some 600 KB, are not fetched).

use std::cell::RefCell;
use std::time::SystemTime;

use anyhow::{Context, Result, ensure};
use data_encoding::BASE64URL_NOPAD;
use harness::{Answer, Client};
use hyper::Method;
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use url::form_urlencoded::Serializer;

use super::load::{Until, load};
use super::{ACCOUNTS, Bench};

const GET_SESSION: &str = "/xrpc/com.atproto.server.getSession";
const DESCRIBE_SERVER: &str = "/xrpc/com.atproto.server.describeServer";
const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
const REDIRECT_URI: &str = "http://127.0.0.1/callback";
const PASSWORD: &str = "correct horse";
/// Logins of one measurement: each hashes a password.
const LOGINS: usize = 60;

impl Bench<'_> {
    pub(super) async fn session(&mut self) -> Result<()> {
        let bearers: Vec<String> =
            self.accounts.iter().map(|account| account.authorization.clone()).collect();
        let done = load(&self.target, 32, Until::Elapsed(self.duration()), async |client, _, number| {
            let token = bearers.get(number % ACCOUNTS).map(String::as_str);
            client.get(GET_SESSION, token).await?.success()
        })
        .await?;
        self.row("getSession, 32 in flight, 1/s", done.rate());
        self.row("getSession, CPU ms", done.cpu_ms());
        let done = load(&self.target, 32, Until::Elapsed(self.duration()), async |client, _, _| {
            client.get(DESCRIBE_SERVER, None).await?.success()
        })
        .await?;
        self.row("describeServer, 32 in flight, 1/s", done.rate());
        self.row("describeServer, CPU ms", done.cpu_ms());
        let mut client = self.target.client();
        let handle = self.handle(0)?;
        let program = Program::new(&mut client, self.target.is_ours, LOGINS).await?;
        let token = program.login(&mut client, &handle).await?;
        let done = load(&self.target, 32, Until::Elapsed(self.duration()), async |client, _, _| {
            program.call(client, Method::GET, GET_SESSION, &token).await?.success()
        })
        .await?;
        self.row("getSession by a bound token, CPU ms", done.cpu_ms());
        self.row("getSession by a bound token, p50 ms", done.latency_ms(0.5));
        Ok(())
    }

    pub(super) async fn login(&mut self) -> Result<()> {
        let handles = (0..ACCOUNTS).map(|index| self.handle(index)).collect::<Result<Vec<_>>>()?;
        let handle = |number: usize| handles.get(number % ACCOUNTS).context("there is no account");
        let done = load(&self.target, 1, Until::Count(LOGINS), async |client, _, number| {
            let input = json!({ "identifier": handle(number)?, "password": PASSWORD });
            client.post("com.atproto.server.createSession", None, &input).await?.success()
        })
        .await?;
        self.row("createSession, CPU ms", done.cpu_ms());
        let is_ours = self.target.is_ours;
        let done = load(&self.target, 1, Until::Count(LOGINS), async |client, _, number| {
            let program = Program::new(client, is_ours, number).await?;
            program.login(client, handle(number)?).await.map(drop)
        })
        .await?;
        self.row("login by OAuth, CPU ms", done.cpu_ms());
        Ok(())
    }

    fn handle(&self, index: usize) -> Result<String> {
        let account = self.accounts.get(index).context("there is no account")?;
        Ok(account.handle.clone())
    }
}

/// A loopback client with a key.
struct Program {
    is_ours: bool,
    key: SigningKey,
    jwk: Value,
    /// Where the server says it is.
    url: String,
    client_id: String,
    verifier: String,
    nonce: RefCell<String>,
    next: RefCell<u64>,
}

impl Program {
    async fn new(client: &mut Client, is_ours: bool, number: usize) -> Result<Self> {
        let resource = client.get("/.well-known/oauth-protected-resource", None).await?.ok()?;
        let url = resource.get("resource").and_then(Value::as_str).context("no resource")?.to_owned();
        let scope = Serializer::new(String::new())
            .append_pair("redirect_uri", REDIRECT_URI)
            .append_pair("scope", "atproto")
            .finish();
        let key = SigningKey::from_slice(&[11; 32])?;
        let point = key.verifying_key().to_sec1_point(false);
        let (x, y) = (point.x().context("no x")?, point.y().context("no y")?);
        let jwk = json!({ "kty": "EC", "crv": "P-256", "x": encode(x), "y": encode(y) });
        // Each request has a challenge of its own.
        let verifier = format!("{:0>43}", format!("{}-{number}", client_tag()));
        Ok(Self {
            is_ours,
            key,
            jwk,
            url,
            client_id: format!("http://localhost?{scope}"),
            verifier,
            nonce: RefCell::default(),
            next: RefCell::default(),
        })
    }

    /// All up to the access token.
    async fn login(&self, client: &mut Client, handle: &str) -> Result<String> {
        let challenge = encode(&Sha256::digest(self.verifier.as_bytes()));
        let request = [
            ("response_type", "code"),
            ("redirect_uri", REDIRECT_URI),
            ("scope", "atproto"),
            ("state", "x"),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ];
        let pushed = self.post(client, "/oauth/par", &request).await?.json()?;
        let request_uri =
            pushed.get("request_uri").and_then(Value::as_str).with_context(|| pushed.to_string())?;
        let query = form(&[("client_id", &self.client_id), ("request_uri", request_uri)]);
        let page = format!("/oauth/authorize?{query}");
        let location = match self.is_ours {
            true => self.consent(client, &page, handle).await?,
            false => self.consent_at_reference(client, &page, handle).await?,
        };
        let code = location.query_pairs().find(|(name, _)| name == "code").context("no code")?.1;
        let exchange = [
            ("grant_type", "authorization_code"),
            ("code", &*code),
            ("redirect_uri", REDIRECT_URI),
            ("code_verifier", &self.verifier),
        ];
        let tokens = self.post(client, "/oauth/token", &exchange).await?.json()?;
        let token = tokens.get("access_token").and_then(Value::as_str);
        Ok(token.with_context(|| tokens.to_string())?.to_owned())
    }

    /// Signs in and says yes, by our forms; answers where that leads.
    async fn consent(&self, client: &mut Client, page: &str, handle: &str) -> Result<url::Url> {
        let asked = client.get(page, None).await?;
        let signed_in = self
            .submit(
                client,
                &asked,
                "",
                &[("action", "sign-in"), ("identifier", handle), ("password", PASSWORD)],
            )
            .await?;
        ensure!(signed_in.status == 303, "the sign-in was answered {}", signed_in.status);
        let cookie = cookie(&signed_in);
        let asked = client.send_with(Method::GET, page, &[("cookie", &cookie)], "").await?;
        let answer = self.submit(client, &asked, &cookie, &[("action", "allow")]).await?;
        let location = header(&answer, "location");
        url::Url::parse(location).with_context(|| format!("no answer: {}", answer.status))
    }

    /// Signs in and says yes, as the reference server's page does; answers where that leads.
    async fn consent_at_reference(&self, client: &mut Client, page: &str, handle: &str) -> Result<url::Url> {
        let mut jar = Vec::new();
        let asked = client
            .send_with(
                Method::GET,
                page,
                &[
                    ("sec-fetch-mode", "navigate"),
                    ("sec-fetch-site", "cross-site"),
                    ("sec-fetch-dest", "document"),
                    ("user-agent", "zap-bench"),
                ],
                "",
            )
            .await?;
        keep_cookies(&mut jar, &asked);
        let input = json!({ "locale": "en", "username": handle, "password": PASSWORD });
        let signed_in = self.ask_reference(client, page, &mut jar, "sign-in", "", &input).await?;
        let did = signed_in.pointer("/account/did").or_else(|| signed_in.pointer("/account/sub"));
        let token = signed_in.get("ephemeralToken").and_then(Value::as_str).unwrap_or_default();
        let input = json!({ "did": did.with_context(|| signed_in.to_string())? });
        let agreed = self.ask_reference(client, page, &mut jar, "consent", token, &input).await?;
        let url = agreed.get("url").and_then(Value::as_str).with_context(|| agreed.to_string())?;
        Ok(url::Url::parse(url)?)
    }

    async fn ask_reference(
        &self,
        client: &mut Client,
        page: &str,
        jar: &mut Vec<(String, String)>,
        endpoint: &str,
        token: &str,
        input: &Value,
    ) -> Result<Value> {
        let csrf = jar.iter().find(|(name, _)| name == "csrf-token").context("no csrf-token")?.1.clone();
        let cookies: Vec<String> = jar.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let (cookies, referer) = (cookies.join("; "), format!("{}{page}", self.url));
        let authorization = format!("Bearer {token}");
        let mut headers = vec![
            ("sec-fetch-mode", "same-origin"),
            ("sec-fetch-site", "same-origin"),
            ("user-agent", "zap-bench"),
            ("origin", self.url.as_str()),
            ("referer", &referer),
            ("x-csrf-token", &csrf),
            ("cookie", &cookies),
            ("content-type", "application/json"),
        ];
        if !token.is_empty() {
            headers.push(("authorization", &authorization));
        }
        let path = format!("/@atproto/oauth-provider/~api/{endpoint}");
        let answer = client.send_with(Method::POST, &path, &headers, input.to_string()).await?;
        keep_cookies(jar, &answer);
        answer.json()
    }

    /// Posts to an endpoint with a proof; once more with the nonce that the first answer brought.
    async fn post(&self, client: &mut Client, path: &str, fields: &[(&str, &str)]) -> Result<Answer> {
        let fields = [fields, &[("client_id", self.client_id.as_str())]].concat();
        let body = form(&fields);
        for is_last in [false, true] {
            let proof = self.proof("POST", path, None)?;
            let headers = [FORM, ("dpop", proof.as_str())];
            let answer = client.send_with(Method::POST, path, &headers, body.clone()).await?;
            *self.nonce.borrow_mut() = header(&answer, "dpop-nonce").to_owned();
            if is_last || answer.error_name() != "use_dpop_nonce" {
                return Ok(answer);
            }
        }
        anyhow::bail!("{path} takes no nonce")
    }

    /// Calls a method with the token.
    async fn call(&self, client: &mut Client, method: Method, path: &str, token: &str) -> Result<Answer> {
        let proof = self.proof(method.as_str(), path, Some(token))?;
        let authorization = format!("DPoP {token}");
        let headers = [("authorization", authorization.as_str()), ("dpop", proof.as_str())];
        let answer = client.send_with(method, path, &headers, "").await?;
        *self.nonce.borrow_mut() = header(&answer, "dpop-nonce").to_owned();
        Ok(answer)
    }

    fn proof(&self, method: &str, path: &str, token: Option<&str>) -> Result<String> {
        let number = self.next.replace_with(|next| *next + 1);
        let head = json!({ "typ": "dpop+jwt", "alg": "ES256", "jwk": self.jwk });
        let mut claims = json!({ "jti": format!("{}-{number}", self.verifier), "htm": method,
            "htu": format!("{}{path}", self.url), "iat": now_seconds()?, "nonce": *self.nonce.borrow() });
        if let (Some(token), Some(claims)) = (token, claims.as_object_mut()) {
            claims.insert("ath".to_owned(), encode(&Sha256::digest(token.as_bytes())).into());
        }
        let text =
            format!("{}.{}", encode(&serde_json::to_vec(&head)?), encode(&serde_json::to_vec(&claims)?));
        let signature: Signature = self.key.sign(text.as_bytes());
        Ok(format!("{text}.{}", encode(&signature.to_bytes())))
    }

    /// Sends the form of a page, as a browser does.
    async fn submit(
        &self,
        client: &mut Client,
        page: &Answer,
        known: &str,
        filled: &[(&str, &str)],
    ) -> Result<Answer> {
        let text = String::from_utf8_lossy(&page.body);
        let path = between(&text, "action=\"", "\"").with_context(|| format!("no form: {text}"))?;
        let mut fields = filled.to_vec();
        let hidden = ["client_id", "request_uri", "token"].map(|name| {
            let value = between(&text, &format!("name=\"{name}\" value=\""), "\"").unwrap_or_default();
            (name, value.replace("&#38;", "&"))
        });
        fields.extend(hidden.iter().map(|(name, value)| (*name, value.as_str())));
        let cookie = if known.is_empty() { cookie(page) } else { known.to_owned() };
        let headers = [FORM, ("cookie", cookie.as_str()), ("origin", self.url.as_str())];
        client.send_with(Method::POST, path, &headers, form(&fields)).await
    }
}

/// Tells the proofs of one run from those of another, which a server may still remember.
fn client_tag() -> u32 {
    std::process::id()
}

fn encode(bytes: &[u8]) -> String {
    BASE64URL_NOPAD.encode(bytes)
}

fn form(fields: &[(&str, &str)]) -> String {
    Serializer::new(String::new()).extend_pairs(fields).finish()
}

fn header<'a>(answer: &'a Answer, name: &str) -> &'a str {
    answer.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn now_seconds() -> Result<u64> {
    Ok(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs())
}

/// What a browser would keep of an answer.
fn keep_cookies(jar: &mut Vec<(String, String)>, answer: &Answer) {
    for set in answer.headers.get_all("set-cookie").iter().filter_map(|set| set.to_str().ok()) {
        let Some((name, value)) = set.split(';').next().and_then(|cookie| cookie.split_once('=')) else {
            continue;
        };
        jar.retain(|(known, _)| known != name);
        jar.push((name.to_owned(), value.to_owned()));
    }
}

/// What a browser would send back.
fn cookie(answer: &Answer) -> String {
    header(answer, "set-cookie").split(';').next().unwrap_or_default().to_owned()
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let rest = text.split_once(before)?.1;
    rest.split_once(after).map(|(found, _)| found)
}
