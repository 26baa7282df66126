// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which clusters of a volume a snapshot has to keep, as ntfs-3g's own tools see it: nothing here is decided by the code
//! that is being shown.

use std::{
    fs::File,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};

use super::tool::{self, command};

/// Where Windows keeps the diff area.
const DIFF_AREA: &str = "/System Volume Information";

/// How the names of its files end.
const DIFF_AREA_FILE: &str = "{3808876b-c176-4e48-b7ae-04046e6cc752}";

/// Files of the root that no snapshot keeps.
const PAGE_FILES: [&str; 3] = ["pagefile.sys", "hiberfil.sys", "swapfile.sys"];

/// Clusters in use, without those of the diff area and of page files: a snapshot keeps what is in all of them.
pub(super) struct InUse {
    bitmap: Vec<u8>,
    clusters: usize,
    cluster_size: usize,
}

impl InUse {
    /// Asks `ntfscat` for the volume's bitmap, and `ntfsls` and `ntfscluster` for the files that do not count.
    pub(super) fn of(volume: &Path) -> Result<Self> {
        let (clusters, cluster_size) = geometry(volume)?;
        let bitmap = tool::run(ntfs_tool("ntfscat", volume).arg(volume).arg("$Bitmap"))?;
        ensure!(bitmap.len() * 8 >= clusters, "{}: $Bitmap has {} bytes", volume.display(), bitmap.len());
        let mut in_use = Self { bitmap, clusters, cluster_size };

        let diff_area = names(volume, DIFF_AREA)?.into_iter().filter(|name| name.ends_with(DIFF_AREA_FILE));
        let diff_area = diff_area.map(|name| format!("{DIFF_AREA}/{name}"));
        let page_file = |name: &String| PAGE_FILES.iter().any(|known| known.eq_ignore_ascii_case(name));
        let page_files = names(volume, "/")?.into_iter().filter(page_file).map(|name| format!("/{name}"));
        for file in diff_area.chain(page_files) {
            let listing = tool::run(ntfs_tool("ntfscluster", volume).args(["-F", &file]).arg(volume))?;
            for (first, count) in runs(&String::from_utf8_lossy(&listing)) {
                in_use.leave_out(first, count);
            }
        }
        Ok(in_use)
    }

    pub(super) fn clusters(&self) -> usize {
        self.clusters
    }

    pub(super) fn cluster_size(&self) -> usize {
        self.cluster_size
    }

    pub(super) fn contains(&self, cluster: usize) -> bool {
        cluster < self.clusters && self.bitmap.get(cluster / 8).is_some_and(|byte| byte >> (cluster % 8) & 1 == 1)
    }

    fn leave_out(&mut self, first: usize, count: usize) {
        for cluster in (first..self.clusters).take(count) {
            if let Some(byte) = self.bitmap.get_mut(cluster / 8) {
                *byte &= !(1 << (cluster % 8));
            }
        }
    }
}

/// One of ntfs-3g's tools, told to read a volume even if it is mounted or was not cleanly unmounted.
fn ntfs_tool(name: &str, volume: &Path) -> std::process::Command {
    let folder = volume.parent().map_or_else(PathBuf::new, Path::to_owned);
    let mut command = command(name, &folder);
    command.arg("-f");
    command
}

/// Number of clusters, and bytes of one, from the boot sector (NTFS: bytes per sector u16 at 0xb, sectors per cluster u8
/// at 0xd, sectors of the volume u64 at 0x28).
fn geometry(volume: &Path) -> Result<(usize, usize)> {
    let context = || format!("{}: boot sector", volume.display());
    let mut sector = [0; 512];
    File::open(volume).and_then(|file| file.read_exact_at(&mut sector, 0)).with_context(context)?;
    let sector_size = usize::from(u16::from_le_bytes([sector[0xb], sector[0xc]]));
    let per_cluster = match sector[0xd] {
        count @ 0..=0x80 => usize::from(count),
        // Above: the negative of a power of two.
        power => 1 << (256 - u32::from(power)).min(20),
    };
    let mut sectors = [0; 8];
    sectors.copy_from_slice(&sector[0x28..0x30]);
    let cluster_size = sector_size * per_cluster;
    ensure!(&sector[3..7] == b"NTFS" && cluster_size > 0, "{}: is not NTFS", context());
    Ok((usize::try_from(u64::from_le_bytes(sectors))? / per_cluster, cluster_size))
}

/// Names in a folder of the volume; none if it is not there.
fn names(volume: &Path, folder: &str) -> Result<Vec<String>> {
    let mut list = ntfs_tool("ntfsls", volume);
    let ended = tool::finish(list.args(["-a", "-s", "-p", folder]).arg(volume))?;
    // Without a word it fails if there is no such folder.
    ensure!(ended.status.success() || ended.stderr.is_empty(), "ntfsls: {}", ended.stderr);
    Ok(String::from_utf8_lossy(&ended.stdout).lines().map(str::to_owned).collect())
}

/// First cluster and number of clusters of each run of the `$DATA` attribute (type 0x80) in what `ntfscluster -F` says:
/// under a line `0x80 - non-resident` lines of three numbers, file cluster, cluster, and length.
fn runs(listing: &str) -> Vec<(usize, usize)> {
    let data = listing.lines().skip_while(|line| !line.trim_start().starts_with("0x80 - non-resident"));
    let data = data.skip(1).take_while(|line| !line.trim_start().starts_with("0x"));
    data.filter_map(|line| {
        let mut numbers = line.split_whitespace().map(str::parse::<usize>);
        let (_, first, count) = (numbers.next()?.ok()?, numbers.next()?.ok()?, numbers.next()?.ok()?);
        Some((first, count))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::{InUse, runs};

    #[test]
    fn reads_the_runs_of_ntfscluster() {
        let listing = "Dump: /a\n    0x30 - resident\n    0x80 - non-resident\n             VCN     LCN     Length\n\
                       \x20              0    41856     8192\n            8192      100        1\n    0xa0 - non-resident\n\
                       \x20              0        7        1\n";
        assert_eq!(runs(listing), [(41856, 8192), (100, 1)]);
        assert_eq!(runs("Dump: /a\n    0x80 - resident\n"), []);
    }

    #[test]
    fn what_is_left_out_is_not_in_use() {
        let mut in_use = InUse { bitmap: vec![0xff, 0xff], clusters: 12, cluster_size: 512 };
        in_use.leave_out(7, 2);
        let found: Vec<usize> = (0..16).filter(|cluster| in_use.contains(*cluster)).collect();
        assert_eq!(found, [0, 1, 2, 3, 4, 5, 6, 9, 10, 11]);
    }
}
