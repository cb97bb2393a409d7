//! Debian's nginx with nchan as the server under load: one publisher's place and one event stream's, nothing else.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use crate::Outcome;
use crate::options::Options;
use crate::prosody;
use crate::server::output;

/// Everything to start it with.
pub struct Prepared {
    pub name: String,
    pub settings: Vec<String>,
    pub http: SocketAddr,
    pub command: Command,
}

/// Writes configuration and certificate below `folder`.
pub fn prepare(options: &Options, folder: &Path) -> Outcome<Prepared> {
    if !Path::new(MODULE).exists() {
        return Err(format!(
            "{MODULE} is missing: apt-get update && apt-get install -y nginx-light libnginx-mod-nchan"
        )
        .into());
    }
    let (http, _) = prosody::free_ports()?;
    prosody::certificate(options, folder)?;
    let file = folder.join("nginx.conf");
    std::fs::write(&file, configuration(options, folder, http))?;
    let mut command = Command::new("nginx");
    command.arg("-p").arg(folder).arg("-c").arg(&file);
    let version = output(Command::new("dpkg-query").args([
        "-W",
        "-f",
        "${Package} ${Version}, ",
        "nginx",
        "libnginx-mod-nchan",
    ]))?;
    let settings = vec!["one worker, messages in memory, 100 of them kept, no log of accesses".to_owned()];
    Ok(Prepared { name: format!("nginx with nchan ({})", version.trim_end_matches(", ")), settings, http, command })
}

fn configuration(options: &Options, folder: &Path, http: SocketAddr) -> String {
    let tls = if options.https { " ssl" } else { "" };
    let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
    format!(
        r#"# written by the load driver
load_module {MODULE};
{user}
daemon off;
worker_processes 1;
worker_rlimit_nofile 65536;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 32768; }}
http {{
  access_log off;
  keepalive_requests 1000000000;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  nchan_shared_memory_size 512m;
  server {{
    listen {http}{tls} backlog=4096;
    ssl_certificate {folder}/certificate.crt;
    ssl_certificate_key {folder}/certificate.key;
    location = {PUBLISH} {{
      nchan_publisher;
      nchan_channel_id load;
      nchan_message_buffer_length 100;
    }}
    location = {WATCH} {{
      nchan_subscriber eventsource;
      nchan_channel_id load;
      nchan_subscriber_first_message newest;
    }}
  }}
}}
"#,
        folder = folder.display(),
    )
}

/// The process that serves: the one worker.
pub fn worker(master: u32) -> Option<u32> {
    let children = std::fs::read_to_string(format!("/proc/{master}/task/{master}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}

pub const PUBLISH: &str = "/publish";
pub const WATCH: &str = "/watch";
const MODULE: &str = "/usr/lib/nginx/modules/ngx_nchan_module.so";
