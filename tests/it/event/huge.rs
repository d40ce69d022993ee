//! Events of many megabytes.

use std::fs;
use std::io::{self, Cursor, Read};
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use oneks::event::read;

use super::{kind_of, short, stdin};

/// An event of many megabytes that is made while it is read.
struct Huge {
    head: Cursor<Vec<u8>>,
    unit: Vec<u8>,
    left: usize,
    at: usize,
    tail: Cursor<Vec<u8>>,
}

impl Huge {
    fn new(event: &str, head: &str, unit: &str, bytes: usize, tail: &str) -> Self {
        // Whole groups of three bytes, so that the base64 of the parts is the base64 of the whole.
        let head = format!("{head:width$}", width = head.len().next_multiple_of(3));
        let unit = unit.repeat(3 * 1000);
        Self {
            head: Cursor::new(stdin(event, STANDARD.encode(head).as_bytes())),
            left: bytes / unit.len(),
            unit: STANDARD.encode(unit).into_bytes(),
            at: 0,
            tail: Cursor::new(STANDARD.encode(tail).into_bytes()),
        }
    }
}

impl Read for Huge {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.head.read(buf)?;
        if n > 0 || buf.is_empty() {
            return Ok(n);
        }
        if self.left == 0 {
            return self.tail.read(buf);
        }
        let n = buf.len().min(self.unit.len() - self.at);
        buf[..n].copy_from_slice(&self.unit[self.at..self.at + n]);
        self.at += n;
        if self.at == self.unit.len() {
            (self.at, self.left) = (0, self.left - 1);
        }
        Ok(n)
    }
}

const MB: usize = 1024 * 1024;

fn memory(field: &str) -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

/// In a process of its own, so that other tests don't count.
#[test]
fn a_huge_event_needs_little_memory() {
    if std::env::var_os("EVENT_TEST_MEMORY").is_none() {
        let test = "event::huge::a_huge_event_needs_little_memory";
        let mut child = Command::new(std::env::current_exe().unwrap());
        child
            .args(["--exact", test, "--test-threads=1"])
            .env("EVENT_TEST_MEMORY", "1");
        let output = child.output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stdout)
        );
        return;
    }
    let update = "<CALL_INFO><RESULT>1</RESULT><PARAMETERS><PARAMETER><POSITION>2</POSITION><TYPE>IN</TYPE>\
                  <VALUE>10</VALUE></PARAMETER><PARAMETER><POSITION>3</POSITION><TYPE>IN</TYPE><VALUE>";
    let end = "</VALUE></PARAMETER></PARAMETERS><EXTRA/></CALL_INFO>";
    let vm = "<VM><ID>17</ID><NAME>oneks-7-x</NAME><TEMPLATE><CONTEXT><X><![CDATA[";
    let vm_end = "]]></X></CONTEXT></TEMPLATE><USER_TEMPLATE><ONEKS><CLUSTER_ID>7</CLUSTER_ID></ONEKS></USER_TEMPLATE>";
    let cdata = format!("{update}<TEMPLATE><BODY><![CDATA[");
    let cdata_end = format!("]]></BODY></TEMPLATE>{end}");
    let plain = format!("{update}BODY=\"");
    let plain_end = format!("\"{end}");
    let events = [
        (
            "one.document.update",
            cdata.as_str(),
            "SPEC=é ",
            cdata_end.as_str(),
            "look at 10 if it is known",
        ),
        (
            "one.document.update",
            &plain,
            "DELETE=é ",
            &plain_end,
            "look at 10 if it is known",
        ),
        (
            "one.document.update",
            &plain,
            "x&#xE9;",
            &format!("\"\nSPEC=1{end}"),
            "look at [10]",
        ),
        ("one.document.update", update, "<a>", "", "look at [10]"),
        (
            "one.document.update",
            update,
            "<a/>",
            end,
            "look at 10 if it is known",
        ),
        (
            "one.document.update",
            &format!("{update}<"),
            "a=\"",
            "",
            "look at [10]",
        ),
        (
            "one.document.update",
            &format!("{update}<!--"),
            "abc",
            "",
            "look at [10]",
        ),
        ("one.document.update", update, "N", end, "look at [10]"),
        (
            "one.document.allocate",
            "<CALL_INFO><RESULT>1</RESULT><EXTRA><DOCUMENT><ID>5</ID><UID>",
            "1",
            "",
            "drop: unreadable",
        ),
        (
            "one.document.delete",
            "<CALL_INFO><RESULT>1</RESULT><EXTRA><DOCUMENT><ID>5</ID><UNAME>",
            "1",
            "",
            "drop: unreadable",
        ),
        ("vm-ACTIVE-RUNNING", vm, "x] ", vm_end, "look at [7], VM 17"),
        (
            "one.vm.update",
            &plain,
            "ONEKS=",
            &plain_end,
            "look at VM 10 if it is a handle",
        ),
    ];
    let read_all = |size: usize, count: usize| {
        for (event, head, unit, tail, expected) in &events[..count] {
            let got = short(&read(
                kind_of(event).unwrap(),
                Huge::new(event, head, unit, size, tail),
            ));
            // Of a machine that is longer than any of ours no more is kept than its id.
            let expected = match *expected {
                "look at [7], VM 17" if size > MB => "look at VM 17",
                expected => expected,
            };
            assert_eq!(got, expected, "{event} {head} {unit}");
        }
    };
    // Once before, so that the program itself is in memory; a part of it may still come later.
    read_all(MB / 8, events.len());
    let before = memory("VmHWM");
    read_all(3 * MB, events.len());
    read_all(12 * MB, 1);
    let used = memory("VmHWM") - before;
    assert!(used < MB, "{used} bytes");
}
