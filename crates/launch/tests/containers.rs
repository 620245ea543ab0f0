//! Containers of real processes. This program is its own `container-init`.
#![expect(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{File, Permissions};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitCode, ExitStatus, Stdio};

use alcazar_launch::image::{Image, THIS_PROGRAM};
use alcazar_launch::{Input, Program, Start, User, init, tree};
use libtest_mimic::{Arguments, Trial};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    if arguments.get(1).is_some_and(|argument| argument == init::COMMAND) {
        return init::main(&arguments[2..]);
    }
    if arguments.get(1).is_some_and(|argument| argument == LOOK) {
        return look_at_dumpable();
    }
    let tests: &[(&str, fn())] = &[
        (
            "a_program_of_ours_is_hidden_before_it_begins",
            a_program_of_ours_is_hidden_before_it_begins,
        ),
        (
            "new_privileges_are_for_those_who_may_gain_them",
            new_privileges_are_for_those_who_may_gain_them,
        ),
        ("a_container_ends_as_its_program_ended", a_container_ends_as_its_program_ended),
        ("a_program_gets_what_it_was_given", a_program_gets_what_it_was_given),
        ("a_program_gets_nothing_else", a_program_gets_nothing_else),
        ("a_start_that_never_comes_starts_nothing", a_start_that_never_comes_starts_nothing),
        ("a_daemon_does_not_survive_its_container", a_daemon_does_not_survive_its_container),
        ("a_container_told_to_end_ends_whole", a_container_told_to_end_ends_whole),
        ("a_program_dies_with_the_ancestor", a_program_dies_with_the_ancestor),
        ("a_fork_bomb_is_put_out", a_fork_bomb_is_put_out),
        ("a_program_that_is_not_there_is_named", a_program_that_is_not_there_is_named),
        ("another_user_is_another_user", another_user_is_another_user),
        ("stages_run_from_the_sealed_image", stages_run_from_the_sealed_image),
        ("users_without_a_way_to_our_file_run_it", users_without_a_way_to_our_file_run_it),
    ];
    let trials = tests
        .iter()
        .map(|(name, test)| {
            let test = *test;
            Trial::test(*name, move || {
                test();
                Ok(())
            })
        })
        .collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn shell(text: &str) -> Start {
    Start {
        program: Program::Named("/bin/sh".into()),
        arguments: ["sh", "-c", text].map(OsString::from).to_vec(),
        environment: BTreeMap::from([("PATH".into(), "/usr/bin:/bin".into())]),
        directory: "/".into(),
        user: None,
        input: Input::Null,
        may_gain_privileges: false,
    }
}

/// A container; killed when dropped.
struct Container {
    init: Child,
    output: BufReader<ChildStdout>,
}

impl Container {
    fn waiting(program: &Path) -> Self {
        let mut command = init::command(program);
        let mut init = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let output = BufReader::new(init.stdout.take().unwrap());
        Self { init, output }
    }

    fn start(start: &Start) -> Self {
        let mut container = Self::waiting(Path::new(THIS_PROGRAM));
        container.write(start);
        container
    }

    fn write(&mut self, start: &Start) {
        start.write_to(&mut self.init.stdin.take().unwrap()).unwrap();
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.init)
    }

    /// The next line of output.
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Output, errors, and how it ended.
    fn end(mut self) -> (String, String, ExitStatus) {
        let mut output = String::new();
        self.output.read_to_string(&mut output).unwrap();
        let mut errors = String::new();
        self.init.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
        let status = self.init.wait().unwrap();
        (output, errors, status)
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if matches!(self.init.try_wait(), Ok(None)) {
            tree::kill_descendants(self.pid()).unwrap();
            self.init.kill().unwrap();
            self.init.wait().unwrap();
        }
    }
}

fn pid(text: &str) -> Pid {
    Pid::from_raw(text.parse().unwrap()).unwrap()
}

/// Whether the process is gone, or ended and only waits to be reaped by somebody else.
fn has_ended(pid: Pid) -> bool {
    tree::Process::read(pid).unwrap().is_none_or(|process| process.ended)
}

fn a_container_ends_as_its_program_ended() {
    let (_, _, status) = Container::start(&shell("exit 0")).end();
    assert!(status.success());
    let (_, _, status) = Container::start(&shell("exit 3")).end();
    assert_eq!(status.code(), Some(3));
    let (_, _, status) = Container::start(&shell("kill -TERM $$")).end();
    assert_eq!(status.signal(), Some(15), "{status:?}");
    let (_, _, status) = Container::start(&shell("kill -KILL $$")).end();
    assert_eq!(status.signal(), Some(9));
}

fn a_program_gets_what_it_was_given() {
    let directory = tempfile::tempdir().unwrap();
    let mut start = shell("echo $0 $1; pwd; echo \"<$A>\"; cat");
    start.arguments.extend(["zero".into(), "one".into()]);
    start.environment.insert("A".into(), "a  b".into());
    start.directory = directory.path().canonicalize().unwrap();
    start.input = Input::Bytes(b"input\n".to_vec().into());
    let (output, errors, status) = Container::start(&start).end();
    assert!(status.success(), "{errors}");
    let directory = start.directory.display();
    assert_eq!(output, format!("zero one\n{directory}\n<a  b>\ninput\n"));
}

fn a_program_gets_nothing_else() {
    // What a careless ancestor leaves open: `dup` does not set close-on-exec.
    let left_open = rustix::io::dup(File::open("/dev/null").unwrap()).unwrap();
    let start = shell(
        "tr '\\0' '\\n' < /proc/$$/environ; umask; i=3; \
         while [ $i -lt 256 ]; do [ -e /proc/$$/fd/$i ] && echo open: $i; i=$((i+1)); done; \
         exec grep -E 'SigBlk|SigIgn' /proc/self/status",
    );
    let (output, _, _) = Container::start(&start).end();
    drop(left_open);
    let (rest, signals) = output.split_once("SigBlk:").unwrap();
    assert_eq!(rest, "PATH=/usr/bin:/bin\n0022\n");
    let (blocked, ignored) = signals.split_once("SigIgn:").unwrap();
    let set = |text: &str| u64::from_str_radix(text.trim(), 16).unwrap();
    // The real-time signals are those of whoever started the test.
    assert_eq!((set(blocked), set(ignored) & 0x7fff_ffff), (0, 0));
}

fn a_start_that_never_comes_starts_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let made = directory.path().join("made");
    let mut bytes = Vec::new();
    shell(&format!("touch {}", made.display())).write_to(&mut bytes).unwrap();
    let mut container = Container::waiting(Path::new(THIS_PROGRAM));
    let mut stdin = container.init.stdin.take().unwrap();
    stdin.write_all(&bytes[..bytes.len() - 1]).unwrap();
    drop(stdin);
    let (_, errors, status) = container.end();
    assert_eq!(status.code(), Some(1));
    assert!(errors.contains("Failed to start the container"), "{errors}");
    assert!(!made.exists());
}

/// A daemon by the book: forked twice, in a session of its own, deaf to polite signals. Prints
/// its pid and keeps neither standard output nor error.
const DAEMON: &str = "(setsid sh -c 'sh -c \"trap : TERM HUP INT; echo \\$\\$; exec >&- 2>&-; \
                      while :; do sleep 1000; done\" &' &) ; ";

fn a_daemon_does_not_survive_its_container() {
    let mut container = Container::start(&shell(&format!("{DAEMON} read x; exit 7")));
    // `read` ends at once, on /dev/null: the daemon may be born after the program's end.
    let line = container.line();
    let (_, _, status) = container.end();
    assert_eq!(status.code(), Some(7));
    if !line.is_empty() {
        assert!(has_ended(pid(&line)));
    }

    let mut container = Container::start(&shell(&format!("{DAEMON} exec sleep 1000")));
    let daemon = pid(&container.line());
    let beneath = tree::descendants(container.pid()).unwrap();
    assert!(beneath.len() >= 2, "{beneath:?}");
    let main = beneath.iter().find(|p| p.parent == container.init.id() as i32).unwrap();
    // The program ends by a signal; the daemon is not in its session.
    let session = |pid| rustix::process::getsid(Some(pid)).unwrap();
    assert_ne!(session(daemon), session(main.pid));
    kill_process(main.pid, Signal::KILL).unwrap();
    let (_, _, status) = container.end();
    assert_eq!(status.signal(), Some(9));
    for process in beneath {
        assert!(has_ended(process.pid), "{process:?}");
    }
}

fn a_container_told_to_end_ends_whole() {
    let mut container = Container::start(&shell(&format!("trap '' TERM; {DAEMON} sleep 1000; :")));
    let daemon = pid(&container.line());
    let beneath = tree::descendants(container.pid()).unwrap();
    kill_process(container.pid(), Signal::TERM).unwrap();
    let (_, _, status) = container.end();
    assert_eq!(status.signal(), Some(9));
    assert!(has_ended(daemon));
    for process in beneath {
        assert!(has_ended(process.pid), "{process:?}");
    }
}

fn a_program_dies_with_the_ancestor() {
    let mut container = Container::start(&shell("echo $$; exec sleep 1000"));
    let program = pid(&container.line());
    let ended = pidfd_open(program, PidfdFlags::empty()).unwrap();
    kill_process(container.pid(), Signal::KILL).unwrap();
    let (_, _, status) = container.end();
    assert_eq!(status.signal(), Some(9));
    poll(&mut [PollFd::new(&ended, PollFlags::IN)], None).unwrap();
    assert!(has_ended(program));
}

fn a_fork_bomb_is_put_out() {
    // Each process starts another and ends, forever: who looks finds other pids each time.
    let bomb = "f() { (f &) ; sleep 0.001; }; f & echo ready; exec sleep 1000";
    let mut container = Container::start(&shell(bomb));
    assert_eq!(container.line(), "ready");
    kill_process(container.pid(), Signal::TERM).unwrap();
    let init = container.pid();
    let (_, _, status) = container.end();
    assert_eq!(status.signal(), Some(9));
    assert!(has_ended(init));
}

fn a_program_that_is_not_there_is_named() {
    let start = Start { program: Program::Named("/no/such program".into()), ..shell("") };
    let (_, errors, status) = Container::start(&start).end();
    assert_eq!(status.code(), Some(127));
    assert!(errors.starts_with("Failed to execute '/no/such program': No such file"), "{errors}");

    let (_, errors, status) =
        Container::start(&Start { program: Program::Named("/etc/passwd".into()), ..shell("") })
            .end();
    assert_eq!(status.code(), Some(126));
    assert!(errors.contains("Permission denied"), "{errors}");

    let lost = Start { directory: "/no/such".into(), ..shell("") };
    let (_, errors, status) = Container::start(&lost).end();
    assert_eq!(status.code(), Some(126));
    assert!(errors.starts_with("Failed to enter the working directory: "), "{errors}");
}

const NOBODY: User = User { uid: 65_534, gid: 65_534, groups: Vec::new() };

fn another_user_is_another_user() {
    if !testkit::is_root() {
        testkit::skipped("only root can become another user");
        return;
    }
    let user = User { groups: vec![65_534, 4_242], ..NOBODY };
    let script = "id -u; id -g; id -G; cat /etc/shadow; kill -KILL $PPID; \
                  cat /proc/$PPID/environ; grep Cap /proc/$$/status";
    let start = Start { user: Some(user), ..shell(script) };
    let (output, errors, status) = Container::start(&start).end();
    let lines: Vec<_> = output.lines().collect();
    assert_eq!(lines[..3], ["65534", "65534", "65534 4242"]);
    for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        assert!(lines.contains(&format!("{set}:\t0000000000000000").as_str()), "{output}");
    }
    // The ancestor is there still, or there would be no status of the program.
    assert!(status.success(), "{status:?}");
    let refusals = errors.matches("ermitted").count() + errors.matches("denied").count();
    assert_eq!(refusals, 3, "{errors}");
}

fn new_privileges_are_for_those_who_may_gain_them() {
    for may in [false, true] {
        let start = Start { may_gain_privileges: may, ..shell("grep NoNewPrivs /proc/$$/status") };
        let (output, errors, status) = Container::start(&start).end();
        assert!(status.success(), "{errors}");
        // Whoever runs the tests may have given them up already.
        let inherited = rustix::thread::no_new_privs().unwrap();
        assert_eq!(output, format!("NoNewPrivs:\t{}\n", u8::from(!may || inherited)));
    }
}

/// What `us` does, below: looks whether others of its user may look into it.
const LOOK: &str = "look-at-dumpable";

fn look_at_dumpable() -> ExitCode {
    let behavior = rustix::process::dumpable_behavior().unwrap();
    println!("{behavior:?}");
    ExitCode::SUCCESS
}

fn a_program_of_ours_is_hidden_before_it_begins() {
    let image = Image::of_this_program().unwrap();
    let user = testkit::is_root().then_some(NOBODY);
    let mut container = Container::waiting(&image.path());
    container.write(&Start {
        program: Program::Ourselves,
        arguments: ["us", LOOK].map(OsString::from).to_vec(),
        user,
        ..shell("")
    });
    let (output, errors, status) = container.end();
    assert!(status.success(), "{errors}");
    assert_ne!(output, "Dumpable\n");
}

fn users_without_a_way_to_our_file_run_it() {
    if !testkit::is_root() {
        testkit::skipped("only root can become another user");
        return;
    }
    // A copy of this program where only root may go.
    let directory = tempfile::tempdir().unwrap();
    std::fs::set_permissions(directory.path(), Permissions::from_mode(0o700)).unwrap();
    let copy = directory.path().join("copy");
    // By another process: a file cannot be run while a fork of this one has it open to write.
    let copied = Command::new("cp")
        .args([&std::fs::read_link(THIS_PROGRAM).unwrap(), &copy])
        .status()
        .unwrap();
    assert!(copied.success());
    let mut container = Container::waiting(&copy);
    container.write(&Start {
        program: Program::Ourselves,
        arguments: ["us", "--list"].map(OsString::from).to_vec(),
        user: Some(NOBODY),
        ..shell("")
    });
    let (output, errors, status) = container.end();
    assert!(status.success(), "{errors}");
    assert!(output.contains("another_user_is_another_user: test"), "{output}");
}

fn stages_run_from_the_sealed_image() {
    let image = Image::of_this_program().unwrap();
    let mut container = Container::waiting(&image.path());
    container.write(&shell("readlink /proc/$PPID/exe; : > /proc/$PPID/exe"));
    let (output, errors, status) = container.end();
    // A container of the same user may not even look.
    if testkit::is_root() {
        assert!(output.starts_with("/memfd:alcazar"), "{output}");
    } else {
        assert_eq!(output, "");
    }
    assert!(!status.success() && !errors.is_empty(), "{errors}");
}
