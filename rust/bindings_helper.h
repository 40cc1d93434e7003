/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What bindgen reads for this module: device-mapper, path lookup, file system and file
 * attributes, which `kernel::bindings` lacks, and the wrappers of helpers.c.
 */
#include <linux/device-mapper.h>
#include <linux/falloc.h>
#include <linux/fileattr.h>
#include <linux/namei.h>
#include <linux/statfs.h>

#include "helpers.h"

/* Constants that bindgen cannot read from their macros. */
static const u32 DM_LOOP_BLK_FEAT_STABLE_WRITES = (__force u32)BLK_FEAT_STABLE_WRITES;
static const u32 DM_LOOP_BLK_OPEN_READ = (__force u32)BLK_OPEN_READ;
static const u32 DM_LOOP_BLK_OPEN_WRITE = (__force u32)BLK_OPEN_WRITE;
static const u32 DM_LOOP_FMODE_CAN_ODIRECT = (__force u32)FMODE_CAN_ODIRECT;
static const u32 DM_LOOP_FMODE_CAN_READ = (__force u32)FMODE_CAN_READ;
static const u32 DM_LOOP_FMODE_CAN_WRITE = (__force u32)FMODE_CAN_WRITE;
static const u32 DM_LOOP_FALLOC_FL_KEEP_SIZE = FALLOC_FL_KEEP_SIZE;
static const u32 DM_LOOP_FALLOC_FL_PUNCH_HOLE = FALLOC_FL_PUNCH_HOLE;
static const u32 DM_LOOP_FALLOC_FL_WRITE_ZEROES = FALLOC_FL_WRITE_ZEROES;
static const u32 DM_LOOP_FALLOC_FL_ZERO_RANGE = FALLOC_FL_ZERO_RANGE;
static const int DM_LOOP_IOCB_DIRECT = (__force int)IOCB_DIRECT;
static const int DM_LOOP_IOCB_WRITE = (__force int)IOCB_WRITE;
static const u8 DM_LOOP_BLK_STS_NOTSUPP = (__force u8)BLK_STS_NOTSUPP;
static const u32 DM_LOOP_LOOKUP_FOLLOW = LOOKUP_FOLLOW;
static const u32 DM_LOOP_REQ_ATOMIC = (__force u32)REQ_ATOMIC;
static const u32 DM_LOOP_REQ_FUA = (__force u32)REQ_FUA;
static const u32 DM_LOOP_REQ_NOUNMAP = (__force u32)REQ_NOUNMAP;
static const u32 DM_LOOP_REQ_OP_MASK = (__force u32)REQ_OP_MASK;
