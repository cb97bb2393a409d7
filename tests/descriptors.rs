//! Running out of descriptors slows accepting down. It ends nothing, burns no CPU, and is over by itself
//! when there are some again.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, prlimit};

struct Server {
    process: Child,
    xmpp: SocketAddr,
    admin: SocketAddr,
}

impl Server {
    fn start(dir: &std::path::Path) -> Server {
        let ready = dir.join("ready.json");
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidings"));
        command.arg("serve").arg("--data").arg(dir.join("data")).arg("--ready-file").arg(&ready);
        // Every connection comes from one address here: what holds up one address is not what is tested.
        for set in [
            "xmpp.listen=127.0.0.1:0",
            "xmpp.listen_tls=off",
            "http.listen=127.0.0.1:0",
            "admin.listen=127.0.0.1:0",
            "limits.connections_per_second=0",
            "limits.pending_authentications=0",
            "auth.scram_iterations=4096",
        ] {
            command.arg("--set").arg(set);
        }
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        let text = loop {
            match std::fs::read_to_string(&ready) {
                Ok(text) if text.ends_with('\n') => break text,
                _ => assert!(Instant::now() < deadline, "the server is not ready"),
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        let address = |name: &str| value[name].as_str().unwrap().parse().unwrap();
        Server { process, xmpp: address("xmpp"), admin: address("admin") }
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.process.id()).unwrap()).unwrap()
    }

    fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.process.id())).unwrap().count()
    }

    /// What `/metrics` tells of one number.
    fn told(&self, name: &str) -> u64 {
        let mut socket = TcpStream::connect(self.admin).unwrap();
        socket.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        socket.read_to_string(&mut text).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{name}: {text}"));
        line.trim().parse().unwrap()
    }

    /// CPU time in clock ticks of a hundredth of a second.
    fn ticks(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id())).unwrap();
        let after_name = stat.rsplit_once(')').unwrap().1;
        let fields: Vec<&str> = after_name.split_whitespace().collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    }

    /// Whether the server opens a stream in answer to ours.
    fn answers(&self) -> bool {
        let Ok(mut socket) = TcpStream::connect(self.xmpp) else { return false };
        socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        let header = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' \
                      to='localhost' version='1.0'>";
        let mut heard = [0; 512];
        socket.write_all(header.as_bytes()).is_ok()
            && socket.read(&mut heard).is_ok_and(|read| heard[..read].starts_with(b"<?xml"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn four_hundred_connections_against_three_hundred_descriptors() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Server::start(dir.path());
    assert!(server.answers());
    let refused = "tidings_limit_hits_total{limit=\"descriptors\"}";
    assert_eq!(server.told(refused), 0);
    let limit = Rlimit { current: Some(300), maximum: Some(300) };
    prlimit(Some(server.pid()), Resource::Nofile, limit).unwrap();

    let held: Vec<TcpStream> = (0..400).map(|_| TcpStream::connect(server.xmpp).unwrap()).collect();
    let deadline = Instant::now() + Duration::from_secs(20);
    while server.descriptors() < 300 {
        assert!(Instant::now() < deadline, "only {} descriptors are in use", server.descriptors());
        std::thread::sleep(Duration::from_millis(20));
    }

    let before = server.ticks();
    std::thread::sleep(Duration::from_secs(3));
    let spent = server.ticks() - before;
    assert!(spent <= 15, "{spent} hundredths of a second of CPU in three seconds of nothing");
    assert!(server.process.try_wait().unwrap().is_none(), "the server has ended");

    drop(held);
    let deadline = Instant::now() + Duration::from_secs(20);
    while !server.answers() {
        assert!(Instant::now() < deadline, "the server does not come back");
    }
    while server.descriptors() >= 100 {
        assert!(Instant::now() < deadline, "{} descriptors are still in use", server.descriptors());
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(server.told(refused) > 0);
    assert_eq!(server.told("process_max_fds"), 300);
}
