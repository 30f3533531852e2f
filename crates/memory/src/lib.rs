//! What the server asks of its allocator.
//!
//! An allocator keeps what was given back to it: for a process that will want it again that is
//! right. A server whose clients all came at once and then fall silent would keep the memory of its
//! busiest moment for good. Two calls to glibc's `malloc` change that; with another C library they do
//! nothing. They are the only unsafe code of the project.

/// From which size on a block of memory is one that the system gives and takes by itself. That is
/// glibc's first choice too, but it raises it to up to 32 MiB as such blocks come and go; then each
/// vector that grows leaves holes of its former sizes behind.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const LARGE: libc::c_int = 128 * 1024;

/// How much free memory at the end of a heap is kept. [`return_free_pages`] leaves it alone, but in
/// the first thread's heap.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const SPARE: libc::c_int = 512 * 1024;

/// Has each large block come from the system and go back there. To be called once, before there is
/// a second thread.
pub fn keep_large_blocks_apart() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    for (setting, bytes) in [(libc::M_MMAP_THRESHOLD, LARGE), (libc::M_TRIM_THRESHOLD, SPARE)] {
        // SAFETY: both settings take a number of bytes, and any number is valid (mallopt(3)).
        #[allow(unsafe_code)]
        unsafe {
            libc::mallopt(setting, bytes);
        }
    }
}

/// Gives every whole page that is free back to the system. Looks at all that is free, one heap at a
/// time, and keeps who allocates from that heap waiting meanwhile: for a quiet moment.
pub fn return_free_pages() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: malloc_trim(3) touches nothing but what is free, and may be called from any thread.
    #[allow(unsafe_code)]
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(all(test, target_os = "linux", target_env = "gnu"))]
mod tests {
    use super::*;

    /// Bytes of this process that are in memory and its own.
    fn own() -> usize {
        let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
        let mut pages = statm.split(' ').map(|pages| pages.parse::<usize>().unwrap());
        let (resident, shared) = (pages.nth(1).unwrap(), pages.next().unwrap());
        (resident - shared) * 4096
    }

    /// Small blocks, of which every hundredth stays: no heap's end becomes free.
    #[test]
    fn what_a_crowd_left_behind_goes_back_to_the_system() {
        keep_large_blocks_apart();
        let mut blocks: Vec<_> = (0..400_000).map(|_| Some(Box::new([1_u8; 100]))).collect();
        let crowded = own();
        for (n, block) in blocks.iter_mut().enumerate() {
            if n % 100 != 0 {
                *block = None;
            }
        }
        let before = own();
        assert!(before + (8 << 20) > crowded, "it went back by itself: {crowded}, {before}");
        return_free_pages();
        let after = own();
        assert!(after + (20 << 20) < before, "{before} bytes before, {after} after");
    }
}
