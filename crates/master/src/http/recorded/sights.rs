//! What is rendered for one caller is what is kept for all, but for what that one may not see.

use super::*;

/// Sees everything but the configuration.
struct NoFlags;

impl Sight for NoFlags {
    fn flags(&self) -> bool {
        false
    }
    fn framework(&self, info: &v1::FrameworkInfo) -> bool {
        Everything.framework(info)
    }
    fn task(&self, info: &v1::FrameworkInfo, task: &Task) -> bool {
        Everything.task(info, task)
    }
    fn executor(&self, info: &v1::FrameworkInfo, executor: &v1::ExecutorInfo) -> bool {
        Everything.executor(info, executor)
    }
    fn machine(&self, _: &v1::MachineId) -> bool {
        false
    }
    fn role(&self, role: &str) -> bool {
        Everything.role(role)
    }
    fn everything(&self) -> bool {
        // Nothing that is kept is used: it is rendered for this one.
        false
    }
}

#[test]
fn who_may_not_see_flags_is_shown_the_rest() {
    let Some(story) = story("12-http-authentication-and-acls") else { return };
    let all = exchanges(&story);
    let (snapshot, program) = (snapshot(&all), program(&all));
    let view = View { snapshot: &snapshot, program: &program, sight: &NoFlags };
    let recorded = &body_of(&all, |r| is_get(r, "/state")).body;
    let shown = view.state().to_bytes();
    assert_eq!(String::from_utf8_lossy(&shown), String::from_utf8_lossy(recorded));
    let shown = view.large(Large::State, Media::Json).to_bytes();
    let recorded = &body_of(&all, |r| is_call(r, "GET_STATE")).body;
    assert_eq!(String::from_utf8_lossy(&shown), String::from_utf8_lossy(recorded));
}

/// What is put together of kept pieces is what is written in one go.
#[test]
fn what_is_kept_says_the_same_as_what_is_rendered_for_one() {
    let Some(story) = story("11-operator-api") else { return };
    let all = exchanges(&story);
    let (snapshot, program) = (snapshot(&all), program(&all));
    let kept = View { snapshot: &snapshot, program: &program, sight: &Everything };
    let own = View { sight: &NoFlags, ..kept };
    let calls = [Large::Agents, Large::Executors, Large::Frameworks, Large::State, Large::Tasks];
    for media in [Media::Json, Media::Protobuf] {
        // The second time from what is kept.
        for _ in 0..2 {
            for call in calls {
                let (kept, own) = (kept.large(call, media), own.large(call, media));
                assert_eq!(kept.len(), kept.to_bytes().len());
                assert_eq!(kept.to_bytes(), own.to_bytes(), "{call:?} {media:?}");
            }
            let (kept, own) = (kept.subscribed(15.0, media), own.subscribed(15.0, media));
            assert_eq!(kept.to_bytes(), own.to_bytes(), "{media:?}");
        }
    }
    for render in [View::state_summary, View::state] {
        assert_eq!(render(&kept).to_bytes(), render(&kept).to_bytes());
    }
    assert_eq!(kept.state_summary().to_bytes(), own.state_summary().to_bytes());
    assert_eq!(kept.slaves(None).to_bytes(), own.slaves(None).to_bytes());
    assert_eq!(kept.framework_list(None).to_bytes(), own.framework_list(None).to_bytes());
}
