// SPDX-License-Identifier: GPL-2.0
/*
 * The wrappers that helpers.h declares.
 */
#include <linux/bio.h>
#include <linux/blk-cgroup.h>
#include <linux/blkdev.h>
#include <linux/cgroup.h>
#include <linux/dcache.h>
#include <linux/fs.h>
#include <linux/kthread.h>
#include <linux/memcontrol.h>
#include <linux/module.h>
#include <linux/pagemap.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/uio.h>
#include <linux/workqueue.h>

#include "helpers.h"

/* linux/bio.h */

/* The pages of a bio after its first @done bytes. */
void dm_loop_bio_iter(struct bio *bio, bool write, size_t done, struct iov_iter *iter)
{
	const struct bio_vec *first = __bvec_iter_bvec(bio->bi_io_vec, bio->bi_iter);
	unsigned int segments = 0, offset = 0;
	struct bvec_iter pos;
	struct bio_vec bv;

	/* A split bio may begin in the middle of a segment. */
	bio_for_each_bvec(bv, bio, pos)
		if (!segments++)
			offset = bv.bv_offset - first->bv_offset;
	iov_iter_bvec(iter, write ? ITER_SOURCE : ITER_DEST, first, segments,
		      bio->bi_iter.bi_size);
	iter->iov_offset = offset;
	if (done)
		iov_iter_advance(iter, done);
}

void dm_loop_bio_set_dev(struct bio *bio, struct block_device *bdev)
{
	bio_set_dev(bio, bdev);
}

/* linux/blk-cgroup.h, linux/memcontrol.h */

/*
 * Lets this worker thread do I/O, and use memory, on behalf of those who submitted
 * @bio. The root group pays by itself.
 */
struct dm_loop_charge dm_loop_charge(struct bio *bio)
{
	struct dm_loop_charge charge = {};
#ifdef CONFIG_BLK_CGROUP
	struct cgroup_subsys_state *css = bio_blkcg_css(bio);

	if (!css || css == blkcg_root_css)
		return charge;
	kthread_associate_blkcg(css);
	charge.blkcg = true;
#ifdef CONFIG_MEMCG
	charge.memcg_css = cgroup_get_e_css(css->cgroup, &memory_cgrp_subsys);
	charge.old_memcg = set_active_memcg(mem_cgroup_from_css(charge.memcg_css));
#endif
#endif
	return charge;
}

void dm_loop_uncharge(struct dm_loop_charge charge)
{
	if (!charge.blkcg)
		return;
	kthread_associate_blkcg(NULL);
#ifdef CONFIG_MEMCG
	set_active_memcg(charge.old_memcg);
	css_put(charge.memcg_css);
#endif
}

/* linux/blkdev.h */

static const struct block_device_operations dm_loop_no_operations = {
	.owner = THIS_MODULE,
};

/* A disk that is not to be added: it can do nothing, and has no limits. */
struct gendisk *dm_loop_alloc_disk(void)
{
	struct queue_limits limits;
	struct gendisk *disk;

	blk_set_stacking_limits(&limits);
	limits.features = BLK_FEAT_NOWAIT;
	disk = blk_alloc_disk(&limits, NUMA_NO_NODE);
	if (!IS_ERR(disk))
		disk->fops = &dm_loop_no_operations;
	return disk;
}

bool dm_loop_bdev_is_zoned(struct block_device *bdev)
{
	return bdev_is_zoned(bdev);
}

unsigned int dm_loop_bdev_logical_block_size(struct block_device *bdev)
{
	return bdev_logical_block_size(bdev);
}

sector_t dm_loop_bdev_nr_sectors(struct block_device *bdev)
{
	return bdev_nr_sectors(bdev);
}

/* linux/fs.h */

void dm_loop_file_end_write(struct file *file)
{
	file_end_write(file);
}

int dm_loop_file_pending_error(struct file *file)
{
	return filemap_check_wb_err(file->f_mapping, READ_ONCE(file->f_wb_err));
}

/* That of the file below one of overlayfs. */
struct inode *dm_loop_file_real_inode(struct file *file)
{
	return d_real_inode(file_dentry(file));
}

bool dm_loop_file_start_write_trylock(struct file *file)
{
	return file_start_write_trylock(file);
}

loff_t dm_loop_i_size_read(struct inode *inode)
{
	return i_size_read(inode);
}

void dm_loop_inode_lock(struct inode *inode)
{
	inode_lock(inode);
}

void dm_loop_inode_unlock(struct inode *inode)
{
	inode_unlock(inode);
}

void dm_loop_kiocb_end_write(struct kiocb *kiocb)
{
	kiocb_end_write(kiocb);
}

void dm_loop_kiocb_start_write(struct kiocb *kiocb)
{
	kiocb_start_write(kiocb);
}

void dm_loop_mapping_set_error(struct address_space *mapping, int error)
{
	mapping_set_error(mapping, error);
}

bool dm_loop_mapping_stable_writes(struct address_space *mapping)
{
	return mapping_stable_writes(mapping);
}

/* Openers and shared mappings; less than 0 while the file is executed. */
int dm_loop_writers(struct file *file)
{
	return atomic_read(&file_inode(file)->i_writecount);
}

/* linux/sched.h */

void dm_loop_cond_resched(void)
{
	cond_resched();
}

#define DM_LOOP_RECLAIM (PF_LOCAL_THROTTLE | PF_MEMALLOC_NOIO)

/*
 * Keeps this thread from waiting for I/O that it may have to do itself. Returns
 * what to give to dm_loop_leave_reclaim().
 */
unsigned int dm_loop_enter_reclaim(void)
{
	unsigned int flags = current->flags;

	current->flags |= DM_LOOP_RECLAIM;
	return flags;
}

void dm_loop_leave_reclaim(unsigned int flags)
{
	current_restore_flags(flags, DM_LOOP_RECLAIM);
}

/* linux/sched/signal.h */

bool dm_loop_fatal_signal_pending(void)
{
	return fatal_signal_pending(current);
}

/* linux/workqueue.h */

void dm_loop_init_work(struct work_struct *work, void (*function)(struct work_struct *work))
{
	INIT_WORK(work, function);
}
