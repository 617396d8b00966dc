//! What a process needs of memory.
#![expect(unsafe_code, reason = "a counter that may have been loaded before this program")]

use serde_json::{Value, json};

use crate::Result;
use crate::task::Task;

/// The resident size, and the most that it has been.
fn resident() -> Result<[u64; 2]> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let number = line.and_then(|line| line.split_whitespace().next());
        number.and_then(|number| number.parse::<u64>().ok()).map(|kilobytes| kilobytes << 10)
    };
    let [now, most] = [field("VmRSS:"), field("VmHWM:")];
    Ok([now.ok_or("no resident size")?, most.ok_or("no peak")?])
}

/// How many allocations there were so far, if they are counted.
fn allocations() -> Option<u64> {
    // SAFETY: the name ends in a zero, and the default handle is always valid.
    let symbol = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"allocations".as_ptr()) };
    if symbol.is_null() {
        return None;
    }
    // SAFETY: the counter that the harness loads has a function of this name and type.
    let count: extern "C" fn() -> u64 = unsafe { std::mem::transmute(symbol) };
    Some(count())
}

/// The peak of one call over what was resident before, and the allocations of a further one.
pub(crate) fn measure(task: &mut dyn Task) -> Result<Value> {
    task.prepare()?;
    task.touch()?;
    let [before, _] = resident()?;
    // Makes the peak what is resident now.
    std::fs::write("/proc/self/clear_refs", "5")?;
    task.call(0)?;
    let [_, most] = resident()?;
    task.prepare()?;
    let counted = allocations();
    task.call(1)?;
    let counted = counted.zip(allocations()).map(|(before, after)| after - before);
    Ok(json!({"peak": most.saturating_sub(before), "calls": 1, "allocations": counted}))
}
