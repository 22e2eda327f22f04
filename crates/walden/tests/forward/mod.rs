//! For a storage that does one thing otherwise than the one below it: all else, passed on.

/// `forward!(self, self.0; rename, remove);` among the methods of a `Storage` or a `File` passes these calls on.
macro_rules! forward {
    ($me:ident, $to:expr; $($call:ident),+) => { $(forward!(@$call $me, $to);)+ };
    (@rename $me:ident, $to:expr) => {
        fn rename(&$me, from: &std::path::Path, to: &std::path::Path) -> std::io::Result<()> {
            $to.rename(from, to)
        }
    };
    (@remove $me:ident, $to:expr) => {
        fn remove(&$me, path: &std::path::Path) -> std::io::Result<()> {
            $to.remove(path)
        }
    };
    (@list $me:ident, $to:expr) => {
        fn list(&$me, dir: &std::path::Path) -> std::io::Result<Vec<walden::storage::DirEntry>> {
            $to.list(dir)
        }
    };
    (@create_dir $me:ident, $to:expr) => {
        fn create_dir(&$me, dir: &std::path::Path) -> std::io::Result<()> {
            $to.create_dir(dir)
        }
    };
    (@sync_dir $me:ident, $to:expr) => {
        fn sync_dir(&$me, dir: &std::path::Path) -> std::io::Result<()> {
            $to.sync_dir(dir)
        }
    };
    (@lock $me:ident, $to:expr) => {
        fn lock(
            &$me,
            path: &std::path::Path,
        ) -> std::io::Result<std::sync::Arc<dyn walden::storage::File>> {
            $to.lock(path)
        }
    };
    (@read_at $me:ident, $to:expr) => {
        fn read_at(&$me, buf: &mut [u8], offset: u64) -> std::io::Result<usize> {
            $to.read_at(buf, offset)
        }
    };
    (@write_at $me:ident, $to:expr) => {
        fn write_at(&$me, buf: &[u8], offset: u64) -> std::io::Result<usize> {
            $to.write_at(buf, offset)
        }
    };
    (@sync_data $me:ident, $to:expr) => {
        fn sync_data(&$me) -> std::io::Result<()> {
            $to.sync_data()
        }
    };
    (@sync_all $me:ident, $to:expr) => {
        fn sync_all(&$me) -> std::io::Result<()> {
            $to.sync_all()
        }
    };
    (@allocate $me:ident, $to:expr) => {
        fn allocate(&$me, offset: u64, len: u64) -> std::io::Result<()> {
            $to.allocate(offset, len)
        }
    };
    (@set_len $me:ident, $to:expr) => {
        fn set_len(&$me, len: u64) -> std::io::Result<()> {
            $to.set_len(len)
        }
    };
    (@len $me:ident, $to:expr) => {
        fn len(&$me) -> std::io::Result<u64> {
            $to.len()
        }
    };
    (@modified $me:ident, $to:expr) => {
        fn modified(&$me) -> std::io::Result<std::time::SystemTime> {
            $to.modified()
        }
    };
    (@warm $me:ident, $to:expr) => {
        fn warm(&$me, to: u64) -> u64 {
            $to.warm(to)
        }
    };
    (@cool $me:ident, $to:expr) => {
        fn cool(&$me) {
            $to.cool();
        }
    };
    (@is_mapped $me:ident, $to:expr) => {
        fn is_mapped(&$me) -> bool {
            $to.is_mapped()
        }
    };
}
