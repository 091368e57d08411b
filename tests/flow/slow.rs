//! Controllers that are slow but move: never cut, nothing lost.

use std::time::Duration;

use cell::pattern::{Pattern, pattern, sha256};
use cell::service::Protocol;
use cell::target::{Behaviour, Target};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::{Instant, sleep};

use crate::client::connect;
use crate::stage::{LIMIT, Stage};

/// 20 KB/s and 50 KB/s, for four stall times. The second does not fit the kernel's buffers and waits in the agent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_target_is_never_cut() {
    let stall = Duration::from_secs(2);
    let slower = Target::start(Behaviour::Slow {
        bytes: 1_000,
        every: Duration::from_millis(50),
    })
    .expect("a free port");
    let slow = Target::start(Behaviour::Slow {
        bytes: 2_500,
        every: Duration::from_millis(50),
    })
    .expect("a free port");
    let stage = Stage::configured(&[
        ("robot1", slower.address(), "stall = \"2s\""),
        ("robot2", slow.address(), "stall = \"2s\""),
    ])
    .await;
    let source = stage.source(Protocol::V3).await;
    let transfer = async |service: &str, target: &Target, bytes: usize| {
        let sent = pattern(bytes as u64, bytes);
        let mut client = connect(&source, service).await;
        client.write_all(&sent).await.expect("connected");
        let record = target
            .wait_received(0, bytes as u64, Duration::from_secs(60))
            .await
            .expect("all of it arrives");
        assert_eq!(record.sha256, sha256(&sent), "{service}");
        assert!(
            record.opened.elapsed() > 3 * stall,
            "{service} was too fast to prove anything"
        );
        client.shutdown().await.expect("connected");
        let record = target.wait_ended(0, LIMIT).await.expect("it ends");
        assert!(record.ended_by_fin(), "{service}: {:?}", record.ended);
    };
    tokio::join!(
        transfer("robot1", &slower, 160_000),
        transfer("robot2", &slow, 420_000)
    );
    stage.end();
}

/// How a slow target reads.
struct Pieces {
    bytes: usize,
    every: Duration,
}

/// A listener whose one connection is read slowly for `slow_for`, then at full speed to its end.
struct Trickle {
    listener: TcpListener,
    pieces: Pieces,
    slow_for: Duration,
}

impl Trickle {
    fn new(receive_buffer: Option<u32>, pieces: Pieces, slow_for: Duration) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        if let Some(bytes) = receive_buffer {
            socket
                .set_recv_buffer_size(bytes)
                .expect("a size the system takes");
        }
        socket
            .bind(([127, 0, 0, 1], 0).into())
            .expect("a free port");
        Self {
            listener: socket.listen(1).expect("it listens"),
            pieces,
            slow_for,
        }
    }

    /// Takes exactly these bytes, then waits for FIN.
    async fn receive(self, expected: &[u8]) {
        let (mut socket, _) = self.listener.accept().await.expect("the agent connects");
        let start = Instant::now();
        let mut received = 0;
        let mut piece = vec![0; self.pieces.bytes];
        while start.elapsed() < self.slow_for {
            let length = read(&mut socket, &mut piece, received).await;
            assert!(
                piece[..length] == expected[received..received + length],
                "bytes differ near {received}"
            );
            received += length;
            sleep(self.pieces.every).await;
        }
        assert!(received < expected.len(), "it never had to wait");
        let mut piece = vec![0; 65_536];
        while received < expected.len() {
            let length = read(&mut socket, &mut piece, received).await;
            assert!(
                piece[..length] == expected[received..received + length],
                "bytes differ near {received}"
            );
            received += length;
        }
        assert_eq!(
            socket.read(&mut piece).await.expect("FIN and no RST"),
            0,
            "nothing behind the last byte"
        );
    }
}

async fn read(socket: &mut TcpStream, piece: &mut [u8], at: usize) -> usize {
    let length = socket
        .read(piece)
        .await
        .unwrap_or_else(|error| panic!("cut at byte {at}: {error}"));
    assert!(length > 0, "ended at byte {at}");
    length
}

async fn trickle(
    receive_buffer: Option<u32>,
    pieces: Pieces,
    lines: &str,
    slow_for: Duration,
    bytes: usize,
) {
    let target = Trickle::new(receive_buffer, pieces, slow_for);
    let address = target.listener.local_addr().expect("it listens");
    let stage = Stage::configured(&[("robot1", address, lines)]).await;
    let source = stage.source(Protocol::V3).await;
    let mut client = connect(&source, "robot1").await;
    let mut sent = vec![0; bytes];
    Pattern::new(9).fill(&mut sent);
    let send = async {
        client.write_all(&sent).await.expect("connected");
        client.shutdown().await.expect("connected");
    };
    tokio::join!(send, target.receive(&sent));
    stage.end();
}

/// The buffer is as small as the system has them, so that the target's window follows its reading.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kilobyte_a_second_is_enough() {
    let pieces = Pieces {
        bytes: 1_000,
        every: Duration::from_secs(1),
    };
    trickle(
        Some(1_024),
        pieces,
        "stall = \"3s\"",
        Duration::from_secs(12),
        500_000,
    )
    .await;
}

/// With 128 KiB, the system's own buffer, a window that was full opens only when nearly all of it was read: here
/// about every 6 s, though the target reads all the time. The default stall time bears that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_window_that_seldom_opens_is_no_stall() {
    let pieces = Pieces {
        bytes: 1_000,
        every: Duration::from_millis(50),
    };
    trickle(None, pieces, "", Duration::from_secs(31), 1_500_000).await;
}
