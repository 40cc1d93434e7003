/* SPDX-License-Identifier: GPL-2.0 */
/*
 * One wrapper for each inline function or macro that Rust cannot call itself,
 * sorted by the header that it comes from. A wrapper is a real call, so there are
 * few in the I/O path.
 */
#ifndef DM_LOOP_HELPERS_H
#define DM_LOOP_HELPERS_H

#include <linux/types.h>

struct address_space;
struct bio;
struct block_device;
struct file;
struct gendisk;
struct inode;
struct iov_iter;
struct kiocb;
struct mem_cgroup;
struct work_struct;

/* Who pays for what a worker does for a bio; see dm_loop_charge(). */
struct dm_loop_charge {
	struct cgroup_subsys_state *memcg_css;
	struct mem_cgroup *old_memcg;
	bool blkcg;
};

/* linux/bio.h */
void dm_loop_bio_iter(struct bio *bio, bool write, size_t done, struct iov_iter *iter);
void dm_loop_bio_set_dev(struct bio *bio, struct block_device *bdev);

/* linux/blk-cgroup.h, linux/memcontrol.h */
struct dm_loop_charge dm_loop_charge(struct bio *bio);
void dm_loop_uncharge(struct dm_loop_charge charge);

/* linux/blkdev.h */
struct gendisk *dm_loop_alloc_disk(void);
bool dm_loop_bdev_is_zoned(struct block_device *bdev);
unsigned int dm_loop_bdev_logical_block_size(struct block_device *bdev);
sector_t dm_loop_bdev_nr_sectors(struct block_device *bdev);

/* linux/fs.h */
void dm_loop_file_end_write(struct file *file);
int dm_loop_file_pending_error(struct file *file);
struct inode *dm_loop_file_real_inode(struct file *file);
bool dm_loop_file_start_write_trylock(struct file *file);
loff_t dm_loop_i_size_read(struct inode *inode);
void dm_loop_inode_lock(struct inode *inode);
void dm_loop_inode_unlock(struct inode *inode);
void dm_loop_kiocb_end_write(struct kiocb *kiocb);
void dm_loop_kiocb_start_write(struct kiocb *kiocb);
void dm_loop_mapping_set_error(struct address_space *mapping, int error);
bool dm_loop_mapping_stable_writes(struct address_space *mapping);
int dm_loop_writers(struct file *file);

/* linux/sched.h */
void dm_loop_cond_resched(void);
unsigned int dm_loop_enter_reclaim(void);
void dm_loop_leave_reclaim(unsigned int flags);

/* linux/sched/signal.h */
bool dm_loop_fatal_signal_pending(void);

/* linux/workqueue.h */
void dm_loop_init_work(struct work_struct *work, void (*function)(struct work_struct *work));

#endif
