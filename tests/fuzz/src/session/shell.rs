//! What stands around a session: rings, controllers that take what they want, the clock; and the model beside it.

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use cellgate::limits::{
    BLOCK, FRAME_MAX, FRAME_PREFIX, PONG_LIMIT, SHARE_BLOCKS, WEBSOCKET_MESSAGE_MAX,
};
use cellgate::protocol::ids::Version;
use cellgate::protocol::liveness::{Liveness, Pulse};
use cellgate::protocol::message::Message;
use cellgate::protocol::session::{Command, Session};
use cellgate::protocol::streams::Slot;
use cellgate::relay::pool::Pool;
use cellgate::relay::ring::Ring;
use prost::Message as _;

use super::framed;
use crate::heap::peak_of;
use crate::model::{Model, Reset, Violation};

/// What one command may take beside the bytes that came: a frame that was cut, a reset, names in lists.
const COMMAND_MAX: usize = FRAME_MAX + 16 * 1024;

/// One connection as the shell knows it.
struct Held {
    ring: Ring,
    /// What the controller has.
    taken: Vec<u8>,
    over: bool,
    /// Cut before everything was written: the rest is lost.
    cut: bool,
}

pub struct Shell {
    session: Session,
    version: Version,
    limit: usize,
    pub cut: usize,
    pool: Rc<Pool>,
    blocks: usize,
    /// Every connection that was, in the order of their starts.
    lives: Vec<Held>,
    /// The slots of this WebSocket, and which connection each is; a slot that is gone stays in it.
    slots: Vec<(Slot, usize)>,
    /// What a full ring did not take: until then nothing more is taken from the session.
    waits: Option<(usize, Bytes)>,
    /// WebSocket messages that wait behind it, each with the messages that end in it.
    link: VecDeque<(Bytes, Vec<Message>)>,
    begun: BytesMut,
    resets: Vec<Reset>,
    model: Model,
    now: Instant,
    heard: Instant,
    liveness: Liveness,
}

impl Shell {
    pub fn new(version: Version, limit: usize, blocks: usize) -> Shell {
        let now = Instant::now();
        Shell {
            session: Session::new(version).with_connections(limit),
            version,
            limit,
            cut: WEBSOCKET_MESSAGE_MAX,
            pool: Pool::new(blocks),
            blocks,
            lives: Vec::new(),
            slots: Vec::new(),
            waits: None,
            link: VecDeque::new(),
            begun: BytesMut::new(),
            resets: Vec::new(),
            model: Model::new(version, limit),
            now,
            heard: now,
            liveness: Liveness::new(now),
        }
    }

    // ---- what comes from the service ----------------------------------------------------------

    pub fn receive(&mut self, messages: &[Message]) {
        self.receive_bytes(&framed(messages));
    }

    pub fn receive_bytes(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (piece, rest) = bytes.split_at(bytes.len().min(self.cut));
            bytes = rest;
            let ended = self.ended_in(piece);
            self.link.push_back((Bytes::copy_from_slice(piece), ended));
        }
        self.read();
    }

    /// The messages that end in a piece; the last one may be no message at all.
    fn ended_in(&mut self, piece: &[u8]) -> Vec<Message> {
        self.begun.extend_from_slice(piece);
        let mut ended = Vec::new();
        while let [high, low, rest @ ..] = &self.begun[..] {
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            if rest.len() < length {
                break;
            }
            let frame = self.begun.split_to(FRAME_PREFIX + length).freeze();
            // Stands for what cannot be parsed.
            let broken = Message {
                stream_id: i32::MIN,
                ..Message::default()
            };
            ended.push(Message::decode(frame.slice(FRAME_PREFIX..)).unwrap_or(broken));
        }
        ended
    }

    fn read(&mut self) {
        while !self.is_held_up() {
            let Some((piece, ended)) = self.link.pop_front() else {
                return;
            };
            self.heard = self.now;
            self.liveness.handle_frame(self.now);
            let several = ended.len() > 1;
            let violation = ended
                .iter()
                .try_for_each(|message| match message.stream_id {
                    i32::MIN if message.kind == 0 => Err(Violation),
                    _ => self.model.message(message),
                });
            self.session.handle_bytes(piece);
            let found = self.commands(several || violation.is_err());
            assert_eq!(found.is_err(), violation.is_err(), "{violation:?}");
            if violation.is_err() {
                // Nothing behind it means anything.
                self.link_over(self.version);
                return;
            }
        }
    }

    /// Takes what the session asks for. If `all`, controllers take what holds it up.
    fn commands(&mut self, all: bool) -> Result<(), Violation> {
        loop {
            if all {
                self.hurry();
            }
            if self.is_held_up() {
                return Ok(());
            }
            let (command, peak) = peak_of(|| self.session.poll_command());
            assert!(peak <= COMMAND_MAX, "one command took {peak} bytes");
            match command {
                Ok(Some(command)) => self.take(command),
                Ok(None) => return Ok(()),
                Err(_) => return Err(Violation),
            }
        }
    }

    fn take(&mut self, command: Command) {
        match command {
            Command::Connect(slot) => {
                assert!(self.life(slot).is_none(), "{slot:?} means two connections");
                assert!(self.session.address(slot).is_some());
                self.slots.push((slot, self.lives.len()));
                self.lives.push(Held {
                    ring: Ring::new(Rc::clone(&self.pool)),
                    taken: Vec::new(),
                    over: false,
                    cut: false,
                });
            }
            Command::Deliver(slot, bytes) => {
                let life = self.life(slot).expect("it began");
                assert!(!self.lives[life].over, "bytes after the end");
                self.deliver(life, bytes);
            }
            Command::Finish(slot, _) => {
                let life = self.life(slot).expect("it began");
                assert!(!self.lives[life].over, "a connection ends once");
                self.lives[life].over = true;
                assert!(
                    self.session.address(slot).is_none(),
                    "a slot that is gone has an address"
                );
            }
            Command::Send(frame) => self.sent(&frame),
            Command::Declared | Command::Note(_) => {}
        }
    }

    fn sent(&mut self, frame: &Bytes) {
        assert!(frame.len() <= 256, "resets are small");
        let length = usize::from(u16::from_be_bytes([frame[0], frame[1]]));
        assert_eq!(length, frame.len() - FRAME_PREFIX);
        let message = Message::decode(frame.slice(FRAME_PREFIX..)).expect("our own message parses");
        assert!(message.payload.is_empty() && message.available_service_ids.is_empty());
        self.resets.push((
            message.kind,
            message.stream_id,
            message.service_id.to_vec(),
            message.connection_id,
        ));
    }

    /// The connection that a slot means, or meant.
    fn life(&self, slot: Slot) -> Option<usize> {
        self.slots
            .iter()
            .find(|(known, _)| *known == slot)
            .map(|(_, life)| *life)
    }

    // ---- rings and controllers ----------------------------------------------------------------

    fn deliver(&mut self, life: usize, mut bytes: Bytes) {
        self.lives[life].ring.push(&mut bytes);
        if !bytes.is_empty() {
            assert!(self.waits.is_none());
            self.waits = Some((life, bytes));
            self.liveness.handle_pause(true, self.now);
        }
    }

    fn is_held_up(&mut self) -> bool {
        if let Some((life, mut bytes)) = self.waits.take() {
            self.lives[life].ring.push(&mut bytes);
            if bytes.is_empty() {
                self.resume();
            } else {
                self.waits = Some((life, bytes));
            }
        }
        self.waits.is_some()
    }

    fn resume(&mut self) {
        self.liveness.handle_pause(false, self.now);
        // Silence that we made ourselves is none.
        self.heard = self.now;
        self.liveness.handle_frame(self.now);
    }

    /// All controllers take all they have.
    fn hurry(&mut self) {
        while self.is_held_up() {
            for life in 0..self.lives.len() {
                self.write(life, usize::MAX);
            }
        }
    }

    pub fn takes(&mut self, pick: u8, count: usize) {
        if let Some(life) = usize::from(pick).checked_rem(self.lives.len()) {
            self.write(life, count);
            self.read_on();
        }
    }

    fn write(&mut self, life: usize, mut count: usize) {
        let Held { ring, taken, .. } = &mut self.lives[life];
        while count > 0 && !ring.is_empty() {
            let slices = ring.slices(count);
            let written: usize = slices.iter().map(|slice| slice.len()).sum();
            assert!(written > 0 && written <= count);
            slices
                .iter()
                .for_each(|slice| taken.extend_from_slice(slice));
            drop(slices);
            ring.advance(written);
            count -= written;
        }
    }

    fn read_on(&mut self) {
        if self.is_held_up() {
            return;
        }
        let violation = self.commands(false);
        assert_eq!(
            violation,
            Ok(()),
            "all of a piece with a violation was taken at once"
        );
        self.read();
    }

    // ---- what becomes of the connections ------------------------------------------------------

    fn picked(&self, pick: u8) -> Option<(Slot, usize)> {
        let at = usize::from(pick).checked_rem(self.slots.len())?;
        Some(self.slots[at])
    }

    pub fn connected(&mut self, pick: u8) {
        // Also one that is long over: a late word changes nothing.
        if let Some((slot, life)) = self.picked(pick) {
            self.session.handle_connected(slot);
            self.model.connected(life);
        }
    }

    pub fn connect_failed(&mut self, pick: u8) {
        if let Some((slot, life)) = self.picked(pick)
            && !self.model.lives[life].open
        {
            self.session.handle_connect_failed(slot);
            self.model.connect_failed(life);
            self.cut(life);
            self.answers();
        }
    }

    pub fn target_closed(&mut self, pick: u8) {
        if let Some((slot, life)) = self.picked(pick) {
            self.session.handle_target_closed(slot);
            self.model.target_closed(life);
            self.cut(life);
            self.answers();
        }
    }

    /// The shell ends a connection by itself, and drops what waits for it.
    fn cut(&mut self, life: usize) {
        let held = &mut self.lives[life];
        held.over = true;
        held.cut = true;
        held.ring.clear();
        if self
            .waits
            .as_ref()
            .is_some_and(|(waiting, _)| *waiting == life)
        {
            self.waits = None;
            self.resume();
        }
    }

    fn answers(&mut self) {
        while let Some(command) = self.session.poll_answer() {
            self.take(command);
        }
        self.read_on();
    }

    // ---- the link and the clock ---------------------------------------------------------------

    pub fn pass(&mut self, time: Duration) {
        self.now += time;
        let silence = self.now.duration_since(self.heard);
        let paused = self.waits.is_some();
        match self.liveness.poll(self.now) {
            Pulse::Dead(told) => {
                assert!(
                    !paused && silence >= PONG_LIMIT && told >= PONG_LIMIT,
                    "alive, but called dead"
                );
                self.link_lost(self.version);
            }
            Pulse::Ping | Pulse::Quiet => {
                assert!(
                    paused || silence < PONG_LIMIT,
                    "dead for {silence:?}, and nobody says so"
                );
                assert!(
                    self.liveness.next_deadline() > self.now,
                    "a deadline that has passed wakes again and again"
                );
            }
        }
    }

    pub fn link_lost(&mut self, version: Version) {
        // What is in the session was received whole and is handed out; what waits outside never came.
        assert_eq!(
            self.commands(true),
            Ok(()),
            "a piece with a violation was taken at once"
        );
        self.link_over(version);
    }

    fn link_over(&mut self, version: Version) {
        self.session.handle_link_lost();
        while let Some(command) = self.session.poll_answer() {
            self.take(command);
        }
        self.model.reconnect(version);
        self.check();
        self.link.clear();
        self.begun.clear();
        self.slots.clear();
        self.version = version;
        self.session = Session::new(version).with_connections(self.limit);
        self.heard = self.now;
        self.liveness = Liveness::new(self.now);
    }

    pub fn stop(&mut self) {
        if self.is_held_up() {
            return;
        }
        self.session.handle_stop();
        self.model.stop();
        self.answers();
    }

    // ---- what must hold -----------------------------------------------------------------------

    pub fn check(&mut self) {
        assert_eq!(
            self.lives.len(),
            self.model.lives.len(),
            "connections that began"
        );
        let mut waiting: HashMap<usize, usize> = HashMap::new();
        if let Some((life, bytes)) = &self.waits {
            waiting.insert(*life, bytes.len());
        }
        for (life, (held, model)) in self.lives.iter().zip(&self.model.lives).enumerate() {
            assert_eq!(held.over, model.over, "the end of connection {life}");
            assert!(
                model.bytes.starts_with(&held.taken),
                "connection {life} has other bytes than it was sent"
            );
            assert!(held.ring.len() <= SHARE_BLOCKS * BLOCK, "a share is passed");
            let there = held.taken.len() + held.ring.len() + waiting.remove(&life).unwrap_or(0);
            assert!(
                held.cut || there == model.bytes.len(),
                "connection {life} lacks bytes"
            );
        }
        assert!(self.model.live() <= self.limit);
        assert!(self.pool.free() <= self.blocks);
        let bytes: usize = self.lives.iter().map(|held| held.ring.len()).sum();
        assert!(
            bytes <= (self.blocks - self.pool.free()) * BLOCK,
            "bytes without a block"
        );
        self.resets.sort();
        self.model.resets.sort();
        assert_eq!(self.resets, self.model.resets, "resets");
        self.resets.clear();
        self.model.resets.clear();
    }

    /// Everything is written out: each controller has all that was sent for it, and every block is back.
    pub fn end(mut self) {
        self.link_lost(Version::V3);
        for life in 0..self.lives.len() {
            self.write(life, usize::MAX);
        }
        self.check();
        for (held, model) in self.lives.iter().zip(&self.model.lives) {
            assert!(held.cut || held.taken == model.bytes, "bytes are lost");
        }
        assert_eq!(self.pool.free(), self.blocks, "blocks are lost");
    }
}
