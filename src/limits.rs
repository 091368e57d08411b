//! Every bound of the agent, with its unit, its reason and its source.
//!
//! Nothing in the agent grows past what stands here: the buffers of all tunnels together are
//! [`BUFFERS_MAX`], a constant, however the network behaves. Change a number here and the relations
//! at the end of the file say at compile time whether the house still stands. What only shapes one mechanism,
//! such as how often a clock looks, stands beside that mechanism.

use std::ops::RangeInclusive;
use std::time::Duration;

// ---- the wire: numbers of the service -------------------------------------------------------

/// Bytes of one WebSocket message, each way. Source: the protocol guides.
pub const WEBSOCKET_MESSAGE_MAX: usize = 131_076;

/// Bytes of the head of one of our WebSocket frames. Source: RFC 6455, 5.2: two, a long length, a mask.
pub const WEBSOCKET_HEAD_MAX: usize = 2 + 8 + 4;

/// Bytes of the payload of one tunnel message. Source: the protocol guides (63 KiB).
pub const PAYLOAD_MAX: usize = 64_512;

/// Bytes of the length prefix before every tunnel frame. Source: the protocol guides.
pub const FRAME_PREFIX: usize = 2;

/// Bytes of one tunnel frame with its prefix; a 16-bit length cannot say more.
pub const FRAME_MAX: usize = FRAME_PREFIX + u16::MAX as usize;

/// Bytes of the whole HTTP request of the handshake. Source: the protocol guides ("4k").
pub const REQUEST_MAX: usize = 4096;

/// Bytes of an access token. Real ones are 400 to 800 bytes; the rest of the request takes less
/// than 700, so that this always stays under [`REQUEST_MAX`].
pub const ACCESS_TOKEN_MAX: usize = 3072;

/// Bytes of a service ID. Source: the API reference of OpenTunnel (`[a-zA-Z0-9:_-]{1,128}`).
pub const SERVICE_ID_MAX: usize = 128;

// ---- the table: how much at once ------------------------------------------------------------

/// Tunnels held at the same time by one agent.
pub const TUNNELS_MAX: usize = 4;

/// Services of one tunnel with a stream at the same time. AWS allows 3 services today and can raise it.
pub const SERVICES_MAX: usize = 8;

/// Services that a tunnel may declare (SERVICE_IDS).
pub const DECLARED_MAX: usize = 16;

/// Names of SERVICE_IDS that are read; each may cost a note in the session's queue. A frame has room for 32,000 empty
/// ones.
pub const SERVICE_IDS_READ: usize = 2 * DECLARED_MAX;

/// Live connections of one tunnel, all services together.
pub const CONNECTIONS_MAX: usize = 64;

/// Connections of one tunnel that are over for the source but still write out what is queued, or
/// wait for the controller's FIN. When one more comes, the one that waits longest is cut.
pub const FINISHING_MAX: usize = 64;

/// Connections of one tunnel that may hold on to the last WebSocket message of a lost link, because their
/// ring is full. What a further one cannot take is lost, with a line in the log.
pub const OVERFLOWS_MAX: usize = 2;

/// Routes in the configuration.
pub const ROUTES_MAX: usize = 64;

/// Small answers (resets) that may wait for the link.
pub const OUTBOX_MAX: usize = 32;

/// With this many answers waiting, nothing is taken that could ask for one more; what is left of
/// [`OUTBOX_MAX`] is for the resets of an orderly stop.
pub const OUTBOX_FULL: usize = OUTBOX_MAX - SERVICES_MAX - 1;

// ---- what is read ---------------------------------------------------------------------------

/// Bytes of a text file of the configuration.
pub const CONFIG_FILE_MAX: usize = 64 * 1024;

/// Broken lines of it that are looked at. A file with more is no configuration at all.
pub const SYNTAX_ERRORS_MAX: usize = 100;

/// Faults that are written out; a file that is no configuration at all would give thousands.
pub const FAULTS_SHOWN: usize = 40;

/// Characters of a wrong value that a fault repeats.
pub const QUOTED_MAX: usize = 60;

/// Files and folders below a folder of maps, all together.
pub const MAP_ENTRIES_MAX: usize = 256;

/// Folders within folders of maps.
pub const MAP_DEPTH_MAX: usize = 8;

/// Bytes of one PEM file. The bundle of a whole distribution has 220 KiB.
pub const PEM_MAX: usize = 1024 * 1024;

/// Entries of a folder of certificates. A distribution's has 400: each root, its hash link, the bundle.
pub const PEM_ENTRIES_MAX: usize = 1024;

/// Certificates all together; 500 are about 1 MiB of memory.
pub const CERTIFICATES_MAX: usize = 500;

/// Certificates that lead from the device's own to its authority, with both. Real chains have 1 to 4.
pub const CHAIN_MAX: usize = 8;

/// Bytes of the PEM file of a private key. One of RSA with 8192 bits has 6.4 KiB.
pub const DEVICE_KEY_MAX: usize = 16 * 1024;

/// Bytes of the percent-encoded credentials of a proxy.
pub const PROXY_LOGIN_MAX: usize = 512;

/// Entries of the hosts that are reached without the proxy.
pub const EXCEPTS_MAX: usize = 128;

/// Time windows of the access to the cell.
pub const WINDOWS_MAX: usize = 32;

/// Bytes of a path in the configuration. Source: `PATH_MAX` of Linux, without its NUL.
pub const PATH_BYTES_MAX: usize = 4095;

/// Bytes of the runtime folder: the socket in it must fit into an address of Linux (`sun_path`, 107 bytes).
pub const RUNTIME_FOLDER_MAX: usize = 107 - "/cellgate.sock".len();

/// Bytes of a notification: the longest access token, 16 services with the longest names, and as much again for
/// fields that AWS may add. Real ones have about 1 KiB.
pub const NOTIFICATION_MAX: usize = 8 * 1024;

/// Bytes of a client token. Source: docs/SECURITY.md of the reference, `^[a-zA-Z0-9-]{32,128}$`.
pub const CLIENT_TOKEN_BYTES: RangeInclusive<usize> = 32..=128;

/// Bytes of a host name. Source: RFC 1035, 2.3.4.
pub const HOST_NAME_MAX: usize = 253;

/// Bytes between two dots of a host name. Source: RFC 1035, 2.3.4.
pub const HOST_LABEL_MAX: usize = 63;

/// Bytes of the name of a region; the longest today has 14.
pub const REGION_MAX: usize = 64;

/// Bytes of the name of a network interface, without its NUL. Source: `IFNAMSIZ` of Linux.
pub const INTERFACE_MAX: usize = 15;

/// The stall time of a route. Below it a busy controller would be cut, above it one dead robot
/// could hold all others up for longer than an engineer waits.
pub const STALL_BOUNDS: RangeInclusive<Duration> =
    Duration::from_millis(100)..=Duration::from_secs(3600);

/// The idle time of a route. A tunnel of AWS lives for 12 hours.
pub const IDLE_BOUNDS: RangeInclusive<Duration> =
    Duration::from_millis(100)..=Duration::from_secs(24 * 3600);

/// The greatest age of a connection. A tunnel of AWS lives for 12 hours.
pub const SESSION_BOUNDS: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(24 * 3600);

/// Addresses of one name that are tried. AWS gives 2 to 8.
pub const ADDRESSES_MAX: usize = 8;

/// Bytes of the head of a proxy's answer to CONNECT. A login page's redirect has 1 KiB.
pub const PROXY_HEAD_MAX: usize = 8 * 1024;

/// Header lines of it.
pub const PROXY_HEADERS_MAX: usize = 64;

/// Bytes of resolv.conf that are read to name the DNS servers in the log.
pub const RESOLV_CONF_MAX: u64 = 4096;

/// DNS servers that are named. Source: `MAXNS` of resolv.conf(5), more are not asked.
pub const NAMESERVERS_SHOWN: usize = 3;

/// Bytes of a file of the time zone database; the largest has 4 KiB.
pub const ZONE_MAX: u64 = 64 * 1024;

/// Bytes of the command line or of the environment that are looked through for tokens. Source: `ARG_MAX`, the
/// kernel's bound for both together with the usual stack of 8 MiB.
pub const ARGUMENTS_MAX: u64 = 2 * 1024 * 1024;

/// Bytes of a line of the log, before what is escaped in it grows. The longest of ours is one of the audit with
/// a service, a target and a reason as long as they may be; the others need about 400.
pub const LOG_MESSAGE_MAX: usize = 2048;

/// Bytes of one text in an audit line, as written. A target, which is a host name and a port, fits.
pub const AUDIT_TEXT_MAX: usize = 320;

/// Bytes of a line of the audit: four texts at most, each with its `…`, and 400 for names and numbers.
pub const AUDIT_LINE_MAX: usize = 4 * (AUDIT_TEXT_MAX + 3) + 400;

/// Bytes of the audit file; then it becomes `<path>.1`, so that both need twice this. About 2,000 lines, and a
/// stream makes three or four: weeks of a cell that is visited daily, on a flash of a few megabytes.
pub const AUDIT_FILE_MAX: u64 = 512 * 1024;

/// Bytes of an MQTT packet that the broker may send: AWS takes payloads of 128 KiB from others, and what is longer
/// than [`MQTT_TAKEN_MAX`] is passed over with a line in the log. Told to the broker at the login, which keeps longer
/// ones from us.
pub const MQTT_PACKET_MAX: u32 = 256 * 1024;

/// Bytes of an MQTT packet that is taken into memory: a notification, its topic, and what a broker may add to it.
pub const MQTT_TAKEN_MAX: usize = NOTIFICATION_MAX + 4 * 1024;

/// Bytes read at a time of a packet that is passed over.
pub const MQTT_SKIP_READ: usize = 1024;

/// Bytes of a packet to the broker that are written in one piece; ours have less than 400.
pub const MQTT_WRITE_BUFFER: usize = 512;

/// Bytes of plaintext that TLS may hold for the broker.
pub const MQTT_TLS_BUFFER: usize = 16 * 1024;

/// Messages that the broker may send before the first is acknowledged (Receive Maximum). They are taken one by one.
pub const MQTT_RECEIVE_MAX: usize = 4;

/// Notifications that may wait for the agent; with more, the broker waits.
pub const ARRIVALS_MAX: usize = 4;

/// Bytes of the last error that the connection to the broker keeps to be shown.
pub const BOARD_TEXT_MAX: usize = 512;
/// Hashes of tokens that came already. A notification comes again within the time of a lost PUBACK, not after
/// so many others.
pub const SEEN_MAX: usize = 64;

/// Bytes of the rejoin file. Every place taken, every service of it with a stream and every token as long as
/// it may be comes to less than 32 KiB; escapes could double that.
pub const REJOIN_FILE_MAX: usize = 64 * 1024;

// ---- what the process needs -----------------------------------------------------------------

/// Threads that resolve names: one for the service, one for the controllers, one for the broker.
pub const RESOLVERS: usize = 3;

/// Bytes of stack for each of them; the agent itself runs on the main thread alone.
pub const RESOLVER_STACK: usize = 256 * 1024;

// ---- the local socket and the status --------------------------------------------------------

/// Connections to the local socket that are served at once; further ones wait in the kernel.
pub const CONTROL_CONNECTIONS: usize = 4;

/// Bytes of a request on the local socket; the longest is a notification and what says that it is one.
pub const CONTROL_REQUEST_MAX: usize = NOTIFICATION_MAX + 64;

/// Bytes of an answer on the local socket: a status of [`STATUS_STREAMS_MAX`] streams of 600 bytes, and
/// the rest of it.
pub const CONTROL_REPLY_MAX: usize = 256 * 1024;

/// From a connection to its whole request, and from the answer to its last byte.
pub const CONTROL_TRANSFER: Duration = Duration::from_secs(5);

/// The same while every place is taken: our own clients have their request ready when they connect, and nobody who
/// keeps silent may keep them away.
pub const CONTROL_GRACE: Duration = Duration::from_millis(20);

/// From a request to its answer by the agent, which has none that waits for the network.
pub const CONTROL_ANSWER: Duration = Duration::from_secs(5);

/// From the start of `cellgate status` and its like to the answer; all that the agent can take for a client, and
/// for those before it in the kernel's queue.
pub const CONTROL_CLIENT_LIMIT: Duration = Duration::from_secs(20);

/// Between two lines of the log about clients of the local socket.
pub const CONTROL_LOG_EVERY: Duration = Duration::from_secs(60);

/// Questions that may wait for the agent, one a connection.
pub const ASKS_MAX: usize = CONTROL_CONNECTIONS;

/// Streams that a status tells one by one; all that can live at once.
pub const STATUS_STREAMS_MAX: usize = TUNNELS_MAX * CONNECTIONS_MAX;

/// How long a tunnel lives, at most. Source: the AWS IoT developer guide (12 h).
pub const TUNNEL_LIFETIME: Duration = Duration::from_secs(12 * 3600);

/// Between two writings of the status file.
pub const STATUS_FILE_EVERY: Duration = Duration::from_secs(5);

/// Warnings and errors that are kept for the status.
pub const RECENT_MAX: usize = 8;

/// Characters of each of them.
pub const RECENT_TEXT_MAX: usize = 400;

/// Lines of the log that one tunnel writes of odd frames in [`FLOOD_WINDOW`]; the others are counted. A service that sends
/// nothing else would fill the log of the machine.
pub const NOTES_MAX: u32 = 30;

/// Lines of the log about refused messages of the broker in [`FLOOD_WINDOW`]: whoever can publish on the topic could fill it.
pub const REFUSALS_MAX: u32 = 10;

/// After so long the lines begin anew.
pub const FLOOD_WINDOW: Duration = Duration::from_secs(60);

/// Bytes of memory of the whole agent (RSS), every place taken and every buffer full. Source: the issue.
pub const MEMORY_BUDGET: u64 = 8 * 1024 * 1024;

// ---- buffers --------------------------------------------------------------------------------

/// Bytes of one block of the pool that keeps what controllers do not take at once.
pub const BLOCK: usize = 16 * 1024;

/// Blocks of that pool, for the whole gateway: 2 MiB. An empty pool pauses the tunnels.
pub const POOL_BLOCKS: usize = 128;

/// Blocks one connection may hold: 256 KiB, so that one slow controller does not take the pool.
pub const SHARE_BLOCKS: usize = 16;

/// Bytes read from a controller at a time. One TLS record, so that a bulk transfer holds the link
/// for no longer than that before the next connection has its turn.
pub const UPWARD_READ: usize = 16 * 1024;

/// The same while the link takes everything at once, so that nobody waits for it: a whole payload, for fewer system
/// calls.
pub const UPWARD_BULK: usize = PAYLOAD_MAX;

/// Messages in a row that the link has to take at once for that. A link that is slower than the controller shows it by
/// the second or third.
pub const LINK_FLOWS: u32 = 8;

/// Bytes of messages that are gathered for one record of TLS. A message with more goes by itself, without being copied.
pub const LINK_GATHER: usize = 4 * 1024;

/// Bytes that may wait for TLS: what was gathered, one message of it beyond, the rest of a longest one, and what the
/// protocol adds: two control frames and heads.
pub const LINK_WAITING_MAX: usize = 2 * LINK_GATHER + FRAME_MAX + 1024;

/// Bytes of plaintext that TLS may hold for sending.
pub const TLS_BUFFER: usize = 64 * 1024;

/// Bytes of the buffer for messages of the service while they are small. A larger one is given back when the link
/// rests.
pub const LINK_READ_BUFFER: usize = 8 * 1024;

/// Bytes taken at a time of what the service sends behind our close. Nobody looks at them.
pub const REST_READ: usize = 8 * 1024;

/// Bytes of the link's TCP that may wait unsent in the kernel (`TCP_NOTSENT_LOWAT`). A bulk
/// transfer queues here; what comes behind it waits for no more than this.
pub const LINK_UNSENT: u32 = 32 * 1024;

/// Bytes that the kernel holds for a link, sent and unsent (`SO_SNDBUF`; it doubles the number). Over a mobile network
/// with a round trip of 300 ms 30 KB are on their way at the rate that AWS allows (800 kbit/s). With a quarter of this a
/// loopback, whose segments have 64 KiB, stands still between two delayed acknowledgements; with two thirds it is slower.
pub const LINK_SENT: usize = 64 * 1024;

/// Bytes that the kernel takes in unread from the service (`SO_RCVBUF`; it doubles the number), and so what a window offers
/// it: twice what a round trip of 300 ms needs at the rate that AWS allows. Without it the kernel would let the
/// link of a tunnel that is paused grow to megabytes.
pub const LINK_RECEIVED: usize = 64 * 1024;

/// The same for the one link of a gateway that is wide: the first, and mostly the only one. On a loopback its rate down is
/// 1.6 times that with 88 KiB, 1.1 times that with 176, and that with 512.
pub const WIDE_LINK_SENT: usize = 128 * 1024;

/// As [`WIDE_LINK_SENT`], of what comes.
pub const WIDE_LINK_RECEIVED: usize = 240 * 1024;

/// The same for the broker, whose packets are small.
pub const BROKER_SENT: usize = 16 * 1024;

/// As [`BROKER_SENT`], of what comes: a packet of the longest that is taken, and what is passed over.
pub const BROKER_RECEIVED: usize = 32 * 1024;

// ---- what the kernel holds ------------------------------------------------------------------

/// Sockets to controllers at once, of all tunnels together, those that are over and still write out what is queued
/// included. Who comes when all are taken waits, for no longer than a connection may take.
pub const SEATS_MAX: usize = TUNNELS_MAX * CONNECTIONS_MAX;

/// The first of them, which have room for bulk: as many as transfers run at once. With less a loopback is held up.
pub const BULK_MAX: usize = 3;

/// Bytes of one write to one of these. It is a segment of its own in the kernel.
pub const BULK_PIECE: usize = 64 * 1024;

/// Bytes that the kernel holds for it, sent and unsent (`SO_SNDBUF`; it doubles the number).
pub const BULK_SENT: usize = 64 * 1024;

/// Bytes that the kernel takes in unread from its controller (`SO_RCVBUF`; it doubles the number): twice what is read at a
/// time, so that the controller need not wait for the reader.
pub const BULK_RECEIVED: usize = 128 * 1024;

/// The next, which are wide: with the first ones more than an engineer has open. The others have room for what a robot and
/// an engineer say to each other: 2 KiB on their way are megabytes a second on a local network.
pub const WIDE_MAX: usize = 13;

/// Bytes of one write to a wide socket. It is a segment of its own in the kernel.
pub const WIDE_PIECE: usize = 16 * 1024;

/// Bytes that the kernel holds for a wide socket, sent and unsent (`SO_SNDBUF`; it doubles the number).
pub const WIDE_SENT: usize = 24 * 1024;

/// Bytes that the kernel takes in unread from the controller of a wide socket (`SO_RCVBUF`; it doubles the number): twice
/// what is read at a time. Without it each connection would grow to megabytes while the tunnel is slow.
pub const WIDE_RECEIVED: usize = 32 * 1024;

/// Bytes of one write to a narrow socket. A block of KRterm (2,960 bytes) is two.
pub const NARROW_PIECE: usize = 2 * 1024;

/// Bytes that the kernel holds for a narrow socket; the least that Linux allows.
pub const NARROW_SENT: usize = 2304;

/// Bytes that the kernel takes in unread from the controller of a narrow socket: one segment of Ethernet, and the head of
/// the next.
pub const NARROW_RECEIVED: usize = 2 * 1024;

/// Bytes of a segment on a controller's connection: what Ethernet gives anyway. On the loopback, with
/// its segments of 64 KiB, a slow reader acknowledges so rarely that it looks like one that stands still.
pub const CONTROLLER_SEGMENT: u32 = 1460;

// ---- time -----------------------------------------------------------------------------------

/// From STREAM_START to a reset, when the target cannot be reached. Source: protocol.md (10 s).
pub const CONNECT_LIMIT: Duration = Duration::from_millis(9_500);

/// How long a target that refuses is tried again. A controller that has just closed a terminal
/// refuses for a moment; one that is switched off should be told to the engineer soon.
pub const REFUSED_LIMIT: Duration = Duration::from_secs(5);

/// One attempt to reach a target that does not answer.
pub const CONNECT_ATTEMPT: Duration = Duration::from_millis(4_500);

/// Resolving a name, for a target and for the service's endpoint.
pub const RESOLVE_LIMIT: Duration = Duration::from_secs(5);

/// TCP, TLS and WebSocket handshake with the service together.
pub const DIAL_LIMIT: Duration = Duration::from_secs(30);

/// TCP to one address of the service.
pub const DIAL_ATTEMPT: Duration = Duration::from_secs(8);

/// From the attempt at one address to the next beside it. Source: RFC 8305, 5.
pub const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// TLS to a proxy and its answer to CONNECT together. The proxy connects to the host in that time, perhaps to
/// several addresses of it.
pub const PROXY_LIMIT: Duration = Duration::from_secs(15);

/// Time without a byte taken, after which a controller with bytes waiting is reset.
pub const STALL_DEFAULT: Duration = Duration::from_secs(10);

/// Writing out what is queued after the end of a connection, at most; the time it takes at the route's pace
/// comes on top. A controller that takes a full share at 300 bytes a second needs this long, and one that
/// takes nothing is cut by its stall time.
pub const FINISH_LIMIT: Duration = Duration::from_secs(900);

/// From the moment when the controller has everything to its FIN; then the socket is closed. Longer would
/// keep an exclusive robot from the next engineer.
pub const LINGER_LIMIT: Duration = Duration::from_secs(2);

/// Between two pings on the WebSocket.
pub const PING_EVERY: Duration = Duration::from_secs(20);

/// Without a sign of life from the service the link is dead after this.
pub const PONG_LIMIT: Duration = Duration::from_secs(45);

/// First cap of a tunnel's reconnect backoff; it doubles up to [`BACKOFF_MAX`], with full jitter.
pub const BACKOFF_FIRST: Duration = Duration::from_millis(500);

/// Last cap of a tunnel's reconnect backoff.
pub const BACKOFF_MAX: Duration = Duration::from_secs(30);

/// A link that was up for this long starts the backoff anew when it is lost.
pub const BACKOFF_FORGET: Duration = Duration::from_secs(30);

/// The longest Retry-After that is obeyed.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(900);

/// Between two rounds of the heartbeat, unless a watchdog wants it oftener. An idle agent wakes up for each.
pub const HEARTBEAT_EVERY: Duration = Duration::from_secs(10);

/// How long a loop may take to answer the heartbeat while the others run. Longer than [`STOP_LIMIT`], in which the
/// agent's own loop ends its tunnels.
pub const HEARTBEAT_PATIENCE: Duration = Duration::from_secs(10);

/// Turns of a loop between two rounds of the heartbeat that are no live-lock, however little comes of them.
pub const SPIN_TURNS: u32 = 200;

/// Rounds in a row in which a loop turned and turned, nothing came of it, and the processor was busy with it: a
/// live-lock. One alone can be a machine that was busy with something else.
pub const SPIN_ROUNDS: u32 = 3;

/// From the last sign of life to the watchdog's reset of the machine, if the owner does not say.
pub const WATCHDOG_TIMEOUT: Duration = Duration::from_secs(30);

/// What the owner may say. Below it a busy machine is reset; a watchdog that takes longer than it is none.
pub const WATCHDOG_BOUNDS: RangeInclusive<Duration> =
    Duration::from_secs(5)..=Duration::from_secs(600);

/// Between two attempts to open a watchdog that somebody else has.
pub const WATCHDOG_RETRY: Duration = Duration::from_secs(30);

/// An agent that served for this long has started well.
pub const RESTART_HEALTHY: Duration = Duration::from_secs(60);

/// The longest pause of an agent that fails again and again. Longer would keep an engineer out for nothing.
pub const RESTART_PAUSE_MAX: Duration = Duration::from_secs(60);

/// From SIGTERM to the end of everything; issue and unit promise 3 s.
pub const STOP_LIMIT: Duration = Duration::from_millis(2_500);

/// Between two writes of the status file while much happens.
pub const STATUS_REST: Duration = Duration::from_secs(1);

/// Waiting for the service's answer to our WebSocket close; and, where we are told to stop while it answers our
/// request, for that answer.
pub const CLOSE_LIMIT: Duration = Duration::from_secs(1);

/// From our FIN to the service's, while what it still sends is taken and passed over. Megabytes may be on their way.
pub const HANG_UP_LIMIT: Duration = Duration::from_secs(1);

/// First keepalive probe on an idle TCP connection.
pub const KEEPALIVE_IDLE: Duration = Duration::from_secs(15);

/// Between keepalive probes.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);

/// Keepalive probes without an answer before the connection is dead.
pub const KEEPALIVE_PROBES: u32 = 3;

/// What the kernel's own limit for unacknowledged bytes (`TCP_USER_TIMEOUT`) adds to the stall
/// time, so that our verdict, which has a reason in the log, comes first.
pub const USER_TIMEOUT_MARGIN: Duration = Duration::from_secs(20);

/// With a longer stall time the kernel's limit is left out: it would also keep the keepalive probes from
/// finding an idle controller that is gone, and our own clock finds the rest.
pub const USER_TIMEOUT_MAX: Duration = Duration::from_secs(60);

/// How long the broker keeps what came while we were away (Session Expiry Interval). A tunnel lives for 12 hours at
/// most, and its token no longer.
pub const MQTT_SESSION: Duration = Duration::from_secs(12 * 3600);

/// Keep alive that is announced: without a packet for half as long again the broker cuts the connection.
pub const MQTT_KEEP_ALIVE: Duration = Duration::from_secs(60);

/// Between two pings to the broker. Mobile networks forget a connection that is idle for minutes.
pub const MQTT_PING_EVERY: Duration = Duration::from_secs(30);

/// From a ping to the broker to its answer.
pub const MQTT_PONG_LIMIT: Duration = Duration::from_secs(15);

/// Each of TLS, login and subscription at the broker, and a packet that has begun.
pub const MQTT_STAGE_LIMIT: Duration = Duration::from_secs(20);

/// Waiting for the agent to take a notification, before it is dropped.
pub const ARRIVAL_LIMIT: Duration = Duration::from_secs(5);

/// The most that the first cap of the broker's backoff can be. 100,000 gateways that lose their broker in the same second
/// come back over this time, 1,700 a second, and 2,600 a second once those that were turned away are among them; AWS
/// takes 3,000 CONNECT a second of an account by default. Source: AWS general reference, "AWS IoT Core endpoints and
/// quotas"; tests/fleet.
pub const MQTT_BACKOFF_SPREAD: Duration = Duration::from_secs(60);

/// Last cap of the broker's backoff: 100,000 gateways knock 1,700 times a second, and 95 % of them have knocked 93 s after
/// their broker is back. With the 30 s of a tunnel they would knock 6,700 times a second.
pub const MQTT_BACKOFF_MAX: Duration = Duration::from_secs(120);

/// The least wait before the next login: AWS takes one CONNECT a second of a client ID, and nobody can raise that. Source:
/// as above.
pub const MQTT_CONNECT_REST: Duration = Duration::from_secs(1);

/// The least wait after a refusal that a person has to put right.
pub const MQTT_REFUSED_WAIT: Duration = Duration::from_secs(30);

/// The least wait after another client has taken the session over.
pub const MQTT_TAKEN_OVER_WAIT: Duration = Duration::from_secs(60);

/// Between two looks at a key switch that is a file, and between two attempts on one that cannot be read. The kernel
/// tells at once (inotify); this is for folders that are not there yet and file systems that do not tell.
pub const SWITCH_LOOK: Duration = Duration::from_secs(2);

/// Between two looks at a GPIO line whose chip has no interrupts.
pub const GPIO_LOOK: Duration = Duration::from_millis(250);

/// Turns of a tunnel's loop before it lets other tasks run.
pub const TURNS_MAX: u32 = 32;

// ---- what it comes to -----------------------------------------------------------------------

/// Bytes one tunnel can hold: a WebSocket message that comes, what its buffer grew from and one being handed
/// out, what lost links left behind, a frame cut across messages, the write buffers, TLS both ways and once more to
/// a proxy that is reached by TLS, one upward read with room for its heads.
pub const TUNNEL_BUFFERS: usize = (3 + OVERFLOWS_MAX) * WEBSOCKET_MESSAGE_MAX
    + FRAME_MAX
    + LINK_WAITING_MAX
    + 2 * 3 * TLS_BUFFER
    + UPWARD_BULK
    + 1024
    + LINK_READ_BUFFER;

/// Bytes the connection to the broker can hold: one packet and the copy of its token, one to send, what is passed
/// over, notifications that wait, TLS in and out.
pub const MQTT_BUFFERS: usize = MQTT_TAKEN_MAX
    + MQTT_WRITE_BUFFER
    + MQTT_SKIP_READ
    + (1 + ARRIVALS_MAX) * NOTIFICATION_MAX
    + TLS_BUFFER;

/// Bytes all buffers of the agent together can come to.
pub const BUFFERS_MAX: usize = TUNNELS_MAX * TUNNEL_BUFFERS + POOL_BLOCKS * BLOCK + MQTT_BUFFERS;

/// Bytes of the heap beside the buffers: configuration, roots of TLS, the tables of all tunnels and what drives them, the
/// records of all connections. `tests/heap` holds it with every place taken and every connection on its way to a controller,
/// which takes the most: 0.99 MB without optimisation.
pub const HEAP_BESIDE_BUFFERS: usize = 5 * 256 * 1024;

/// Bytes of the heap with everything taken and full at once, as they are asked for: what `tests/heap` holds. The sum of all
/// buffers is more, for not all of a tunnel's are full together: one that hands a message out gathers none.
pub const HEAP_MAX: usize = 13 * 512 * 1024;

/// Bytes of the kernel for an agent with no tunnel: page tables, stacks, descriptors. Measured: 336 KB (Linux 6.1, arm64).
pub const KERNEL_IDLE: usize = 384 * 1024;

/// Bytes of the kernel for a socket with empty queues: the socket, its inode, file, and timers. Measured: 4.2 to 4.8 KB.
pub const KERNEL_SOCKET: usize = 4864;

/// Bytes of one page. A cgroup is charged for whole ones, each socket for itself.
const PAGE: usize = 4096;

/// Bytes of a segment's head in the kernel, whatever is in it.
const SEGMENT_HEAD: usize = 1024;

/// Bytes that the queue of a socket to its peer can come to: the kernel looks at the bound (twice the number that it is
/// given) before it begins a segment, which then is as long as one write.
pub const fn queue_sent(bound: usize, write: usize) -> usize {
    2 * bound + write + SEGMENT_HEAD
}

/// Bytes that the queue from its peer can come to.
pub const fn queue_received(bound: usize) -> usize {
    2 * bound
}

/// What a socket with such queues is charged.
const fn charged(queues: usize) -> usize {
    queues.next_multiple_of(PAGE)
}

/// Bytes of the kernel for one link. A write of TLS is one segment, and none is longer than 64 KiB.
pub const KERNEL_LINK: usize =
    KERNEL_SOCKET + charged(queue_sent(LINK_SENT, TLS_BUFFER) + queue_received(LINK_RECEIVED));

/// Bytes of the kernel for the wide one.
pub const KERNEL_WIDE_LINK: usize = KERNEL_SOCKET
    + charged(queue_sent(WIDE_LINK_SENT, TLS_BUFFER) + queue_received(WIDE_LINK_RECEIVED));

/// Bytes of the kernel for the broker's connection.
pub const KERNEL_BROKER: usize = KERNEL_SOCKET
    + charged(queue_sent(BROKER_SENT, MQTT_TLS_BUFFER) + queue_received(BROKER_RECEIVED));

/// Bytes of the kernel for a socket with room for bulk.
pub const KERNEL_BULK: usize =
    KERNEL_SOCKET + charged(queue_sent(BULK_SENT, BULK_PIECE) + queue_received(BULK_RECEIVED));

/// Bytes of the kernel for a wide socket.
pub const KERNEL_WIDE: usize =
    KERNEL_SOCKET + charged(queue_sent(WIDE_SENT, WIDE_PIECE) + queue_received(WIDE_RECEIVED));

/// Bytes of the kernel for a narrow socket.
pub const KERNEL_NARROW: usize = KERNEL_SOCKET
    + charged(queue_sent(NARROW_SENT, NARROW_PIECE) + queue_received(NARROW_RECEIVED));

/// Bytes that the kernel can hold for the agent: the links and the broker's connection, all controllers, both ways and
/// every queue full.
pub const KERNEL_MAX: usize = KERNEL_IDLE
    + KERNEL_BROKER
    + KERNEL_WIDE_LINK
    + (TUNNELS_MAX - 1) * KERNEL_LINK
    + BULK_MAX * KERNEL_BULK
    + WIDE_MAX * KERNEL_WIDE
    + (SEATS_MAX - BULK_MAX - WIDE_MAX) * KERNEL_NARROW;

/// Bytes of [`MEMORY_BUDGET`] that are pages of the program's own file, at the least; the release for aarch64 has 1.9 MB.
/// The kernel drops them when memory is short, and reads them again.
pub const PROGRAM_PAGES: usize = 5 * 256 * 1024;

/// Bytes that the unit allows (`MemoryMax`), the kernel's included. Source: the issue.
pub const MEMORY_MAX: usize = 16 * 1024 * 1024;

const _: () = {
    assert!(PAYLOAD_MAX < FRAME_MAX);
    assert!(FRAME_MAX <= WEBSOCKET_MESSAGE_MAX);
    assert!(UPWARD_READ <= UPWARD_BULK && UPWARD_BULK <= PAYLOAD_MAX);
    assert!(LINK_GATHER <= UPWARD_READ);
    assert!(SHARE_BLOCKS < POOL_BLOCKS);
    assert!(HOST_NAME_MAX + ":65535".len() <= AUDIT_TEXT_MAX);
    assert!("audit ".len() + AUDIT_LINE_MAX <= LOG_MESSAGE_MAX);
    assert!(ACCESS_TOKEN_MAX + 1024 <= REQUEST_MAX);
    assert!(ACCESS_TOKEN_MAX + DECLARED_MAX * (SERVICE_ID_MAX + 3) + 256 <= NOTIFICATION_MAX);
    assert!(BUFFERS_MAX <= 7 * 1024 * 1024);
    assert!(HEAP_MAX <= BUFFERS_MAX + HEAP_BESIDE_BUFFERS);
    assert!(HEAP_MAX as u64 <= MEMORY_BUDGET);
    assert!(MEMORY_BUDGET + KERNEL_MAX as u64 <= (MEMORY_MAX + PROGRAM_PAGES) as u64);
    // A tunnel's connections may all live while as many of it still finish.
    assert!(BULK_MAX + WIDE_MAX < SEATS_MAX && CONNECTIONS_MAX + FINISHING_MAX <= SEATS_MAX);
    assert!(CONNECTIONS_MAX <= u8::MAX as usize);
    assert!(CLOSE_LIMIT.as_millis() + HANG_UP_LIMIT.as_millis() < STOP_LIMIT.as_millis());
    assert!(NOTIFICATION_MAX < MQTT_TAKEN_MAX && MQTT_TAKEN_MAX < MQTT_PACKET_MAX as usize);
    assert!(MQTT_PING_EVERY.as_secs() + MQTT_PONG_LIMIT.as_secs() < MQTT_KEEP_ALIVE.as_secs());
    // A bare token may be all quotation marks, each of them escaped.
    assert!(2 * ACCESS_TOKEN_MAX + 64 <= CONTROL_REQUEST_MAX);
    assert!(STATUS_STREAMS_MAX * 600 + 64 * 1024 <= CONTROL_REPLY_MAX);
};
