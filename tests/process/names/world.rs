//! The DNS and the web servers of `example.com` as a server finds them: a name server and a TLS server on an address of their
//! own on loopback, a `resolv.conf` that names the one, and a root certificate that vouches for the other.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// How long a thread of the world waits for anything.
const PATIENCE: Duration = Duration::from_secs(60);
const TICK: Duration = Duration::from_millis(200);
/// How many worlds there were in this process.
static WORLDS: AtomicU8 = AtomicU8::new(0);
const TYPE_A: u16 = 1;
const TYPE_TXT: u16 = 16;
const SERVFAIL: u16 = 2;
const REFUSED: u16 = 5;
const TRUNCATED: u16 = 0x200;

/// What the DNS says when it is asked whom a name names.
#[derive(Clone, Debug)]
pub(super) enum Dns {
    /// These texts.
    Says(Vec<String>),
    /// The first of these texts to one question, the second to the next, and so on.
    Alternates([String; 2]),
    /// Nothing, of whatever it is asked.
    Silent,
    /// Bytes that are no answer, of whatever it is asked.
    Garbage,
    /// That it could not ask.
    ServFail,
    /// That it does not want to.
    Refused,
    /// That the answer is too long for a datagram; by TCP it takes nothing.
    Truncated,
}

/// What a name's web server does with a request.
#[derive(Clone, Debug)]
pub(super) enum Web {
    /// Answers with this status and body.
    Says(u16, String),
    /// Sends to another address.
    Moved(String),
    /// Takes the connection, and says nothing.
    Mute,
    /// Takes the request, and says nothing.
    Silent,
    /// Answers a byte a second.
    Dripping(String),
    /// Breaks off in the middle.
    HangsUp(String),
    /// Answers without end, as fast as it is read.
    Flooding,
}

#[derive(Clone, Debug)]
struct Site {
    dns: Dns,
    web: Web,
    questions: usize,
    requests: usize,
}

/// The world, until it is dropped.
pub(super) struct World {
    /// What is to be started in place of `zap`: the same where all names are this world's.
    pub(super) binary: PathBuf,
    state: Arc<State>,
}

struct State {
    sites: Mutex<BTreeMap<String, Site>>,
    open: AtomicUsize,
    has_ended: AtomicBool,
    address: Ipv4Addr,
}

fn run(command: &str, folder: &Path) -> Result<(), String> {
    let done = Command::new("sh").args(["-ec", command]).current_dir(folder).output();
    let done = done.map_err(|error| error.to_string())?;
    if done.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&done.stderr).into_owned()) }
}

const CERTIFICATES: &str = "
    key='-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes'
    openssl req -x509 $key -keyout ca.key -out ca.pem -days 2 -subj /CN=root
    openssl req $key -keyout leaf.key -out leaf.csr -subj /CN=leaf
    printf 'subjectAltName=DNS:*.example.com\\nbasicConstraints=CA:FALSE\\nextendedKeyUsage=serverAuth\\n' >ext
    openssl x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -out leaf.pem -extfile ext
    unshare --mount mount --bind ext /etc/resolv.conf";

impl World {
    /// Begins; `None`, and a word about it, where this machine lets a test have no such thing.
    pub(super) fn begin(zap: &Path, folder: &Path) -> Option<Self> {
        Self::try_begin(zap, folder)
            .inspect_err(|why| eprintln!("NOT TESTED: names that lie ({why}). Run it as root, with openssl."))
            .ok()
    }

    fn try_begin(zap: &Path, folder: &Path) -> Result<Self, String> {
        run(CERTIFICATES, folder)?;
        // One of its own for each world of each process.
        let [_, _, high, low] = std::process::id().to_be_bytes();
        let number = WORLDS.fetch_add(1, Ordering::SeqCst);
        let address = Ipv4Addr::new(127, 53 + number, high, low.clamp(1, 254));
        let text = |error: std::io::Error| error.to_string();
        let dns = UdpSocket::bind((address, 53)).map_err(text)?;
        let web = TcpListener::bind((address, 443)).map_err(text)?;
        let resolv = folder.join("resolv.conf");
        std::fs::write(&resolv, format!("nameserver {address}\n")).map_err(text)?;
        let binary = folder.join("zap-in-this-world");
        let script = format!(
            "#!/bin/sh\nexport SSL_CERT_FILE='{0}/ca.pem'\nexec unshare --mount sh -ec \
             'mount --bind {0}/resolv.conf /etc/resolv.conf; exec \"$@\"' - '{1}' \"$@\"\n",
            folder.display(),
            zap.display()
        );
        std::fs::write(&binary, script).map_err(text)?;
        std::fs::set_permissions(&binary, std::fs::Permissions::from_mode(0o755)).map_err(text)?;
        let state = State {
            sites: Mutex::default(),
            open: AtomicUsize::default(),
            has_ended: AtomicBool::default(),
            address,
        };
        let state = Arc::new(state);
        let tls = Arc::new(tls(folder));
        let (for_dns, for_web) = (Arc::clone(&state), Arc::clone(&state));
        std::thread::spawn(move || for_dns.answer_questions(&dns));
        std::thread::spawn(move || for_web.accept(&web, &tls));
        Ok(Self { binary, state })
    }

    /// Has a name behave so from now on.
    pub(super) fn set(&self, name: &str, dns: Dns, web: Web) {
        let site = Site { dns, web, questions: 0, requests: 0 };
        self.state.sites.lock().unwrap().insert(name.to_owned(), site);
    }

    /// Requests that came to a name's web server since.
    pub(super) fn requests(&self, name: &str) -> usize {
        self.state.sites.lock().unwrap().get(name).map_or(0, |site| site.requests)
    }

    /// Questions about a name, whom it names, since.
    pub(super) fn questions(&self, name: &str) -> usize {
        self.state.sites.lock().unwrap().get(name).map_or(0, |site| site.questions)
    }

    /// Connections that the other side has not given up.
    pub(super) fn open(&self) -> usize {
        self.state.open.load(Ordering::SeqCst)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.state.has_ended.store(true, Ordering::SeqCst);
        // Whoever waits for a connection has one.
        drop(TcpStream::connect((self.state.address, 443)));
    }
}

fn tls(folder: &Path) -> ServerConfig {
    zap::native::fetch::install_tls_provider();
    let chain = vec![CertificateDer::from_pem_file(folder.join("leaf.pem")).unwrap()];
    let key = PrivateKeyDer::from_pem_file(folder.join("leaf.key")).unwrap();
    ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap()
}

impl State {
    fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::SeqCst)
    }

    fn answer_questions(&self, socket: &UdpSocket) {
        socket.set_read_timeout(Some(TICK)).unwrap();
        let mut buffer = [0; 2048];
        while !self.has_ended() {
            let Ok((read, from)) = socket.recv_from(&mut buffer) else { continue };
            if let Some(answer) = self.answer(&buffer[..read]) {
                socket.send_to(&answer, from).unwrap();
            }
        }
    }

    /// An answer in the form of RFC 1035, with the question as it came; `None` for silence.
    fn answer(&self, asked: &[u8]) -> Option<Vec<u8>> {
        let (mut at, mut labels) = (12, Vec::new());
        while asked[at] != 0 {
            let end = at + 1 + usize::from(asked[at]);
            labels.push(String::from_utf8_lossy(&asked[at + 1..end]).to_lowercase());
            at = end;
        }
        let kind = u16::from_be_bytes([asked[at + 1], asked[at + 2]]);
        let question = &asked[12..at + 5];
        let is_whom = labels.first().is_some_and(|label| label == "_atproto");
        let name = labels[usize::from(is_whom)..].join(".");
        let mut sites = self.sites.lock().unwrap();
        let site = sites.get_mut(&name);
        let is_no_name = site.is_none();
        let mut says = Vec::new();
        let mut flags = 0x8580 | if is_no_name { 3 } else { 0 };
        if let Some(site) = site {
            site.questions += usize::from(is_whom);
            match &site.dns {
                Dns::Silent => return None,
                Dns::Garbage => return Some(vec![0xa5; 40]),
                _ if kind == TYPE_A && !is_whom => says.push(self.address.octets().to_vec()),
                _ if kind != TYPE_TXT || !is_whom => {}
                Dns::ServFail => flags |= SERVFAIL,
                Dns::Refused => flags |= REFUSED,
                Dns::Truncated => flags |= TRUNCATED,
                Dns::Says(texts) => says.extend(texts.iter().map(|text| record_of(text))),
                Dns::Alternates(texts) => says.push(record_of(&texts[(site.questions + 1) % 2])),
            }
        }
        let mut answer = asked[..2].to_vec();
        for number in [flags, 1, u16::try_from(says.len()).unwrap(), 0, 0] {
            answer.extend(number.to_be_bytes());
        }
        answer.extend(question);
        for data in says {
            // The name is that of the question, the class is IN, and nobody is to keep it.
            answer.extend([0xc0, 0x0c]);
            answer.extend(kind.to_be_bytes());
            answer.extend([0, 1, 0, 0, 0, 0]);
            answer.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
            answer.extend(data);
        }
        Some(answer)
    }

    fn accept(self: Arc<Self>, listener: &TcpListener, tls: &Arc<ServerConfig>) {
        while let Ok((stream, _)) = listener.accept() {
            if self.has_ended() {
                return;
            }
            let (state, tls) = (Arc::clone(&self), Arc::clone(tls));
            state.open.fetch_add(1, Ordering::SeqCst);
            std::thread::spawn(move || {
                // However it ends, the other side has gone.
                drop(state.serve(stream, tls));
                state.open.fetch_sub(1, Ordering::SeqCst);
            });
        }
    }

    fn serve(&self, stream: TcpStream, tls: Arc<ServerConfig>) -> std::io::Result<()> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let peek = stream.try_clone()?;
        let mut connection = ServerConnection::new(tls).map_err(std::io::Error::other)?;
        while connection.server_name().is_none() && connection.is_handshaking() {
            if connection.read_tls(&mut &stream)? == 0 {
                return Ok(());
            }
            connection.process_new_packets().map_err(std::io::Error::other)?;
        }
        let name = connection.server_name().unwrap_or_default().to_owned();
        let web = self.sites.lock().unwrap().get(&name).map(|site| site.web.clone());
        if matches!(web, Some(Web::Mute)) {
            return wait_for_end(peek);
        }
        let mut stream = StreamOwned::new(connection, stream);
        let (mut asked, mut buffer) = (Vec::new(), [0; 4096]);
        while !asked.ends_with(b"\r\n\r\n") {
            let read = stream.read(&mut buffer)?;
            if read == 0 {
                return Ok(());
            }
            asked.extend(&buffer[..read]);
        }
        if let Some(site) = self.sites.lock().unwrap().get_mut(&name) {
            site.requests += 1;
        }
        let head =
            |status: u16, more: &str| format!("HTTP/1.1 {status} x\r\nconnection: close\r\n{more}\r\n");
        let sized = |body: &str| head(200, &format!("content-length: {}\r\n", body.len()));
        match web {
            None => write!(stream, "{}", head(404, "content-length: 0\r\n")),
            Some(Web::Says(status, body)) => {
                let length = format!("content-type: text/html\r\ncontent-length: {}\r\n", body.len());
                write!(stream, "{}{body}", head(status, &length))
            }
            Some(Web::Moved(to)) => {
                write!(stream, "{}", head(302, &format!("location: {to}\r\ncontent-length: 0\r\n")))
            }
            Some(Web::Mute | Web::Silent) => return wait_for_end(peek),
            Some(Web::HangsUp(body)) => write!(stream, "{}{}", sized(&body), &body[..body.len() / 2]),
            Some(Web::Dripping(body)) => {
                write!(stream, "{}", sized(&body))?;
                for byte in body.bytes() {
                    stream.write_all(&[byte])?;
                    stream.flush()?;
                    std::thread::sleep(Duration::from_secs(1));
                }
                Ok(())
            }
            Some(Web::Flooding) => {
                write!(stream, "{}", head(200, ""))?;
                loop {
                    stream.write_all(&[b'd'; 64 * 1024])?;
                }
            }
        }?;
        stream.flush()
    }
}

/// Until the other side ends the connection.
fn wait_for_end(mut stream: TcpStream) -> std::io::Result<()> {
    let mut buffer = [0; 4096];
    while stream.read(&mut buffer)? > 0 {}
    Ok(())
}

/// A text as it stands in a TXT record.
fn record_of(text: &str) -> Vec<u8> {
    let parts = text.as_bytes().chunks(255);
    parts.flat_map(|part| [&[u8::try_from(part.len()).unwrap()], part].concat()).collect()
}
