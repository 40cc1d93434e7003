// SPDX-License-Identifier: GPL-2.0
/*
 * A plugin of QEMU that counts the instructions that a guest with one CPU executes, by where
 * they are:
 *
 *   qemu-system-x86_64 -plugin count.so,out=FILE …
 *
 * When QEMU ends, FILE gets a line for each block of code: address, instructions.
 *
 * Mirrors include/qemu/qemu-plugin.h of QEMU, version 1, which few distributions install.
 */
#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
enum qemu_plugin_op { QEMU_PLUGIN_INLINE_ADD_U64 };

typedef void (*tb_trans_cb)(qemu_plugin_id_t id, struct qemu_plugin_tb *tb);
typedef void (*udata_cb)(qemu_plugin_id_t id, void *data);
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id, tb_trans_cb callback);
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *tb, enum qemu_plugin_op op,
					      void *number, uint64_t amount);
void qemu_plugin_register_atexit_cb(qemu_plugin_id_t id, udata_cb callback, void *data);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *tb);

__attribute__((visibility("default"))) int qemu_plugin_version = 1;

/* A power of two, far more than a kernel and a few programs have. */
#define BLOCK_BITS 21
#define BLOCKS (1u << BLOCK_BITS)

static struct block {
	uint64_t address;
	uint64_t instructions;
} *blocks;
static FILE *out;

/* A block may be translated again, and be longer or shorter then. */
static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
	uint64_t address = qemu_plugin_tb_vaddr(tb);
	size_t n = (address * UINT64_C(0x9e3779b97f4a7c15)) >> (64 - BLOCK_BITS);

	while (blocks[n].address && blocks[n].address != address)
		n = (n + 1) % BLOCKS;
	blocks[n].address = address;
	qemu_plugin_register_vcpu_tb_exec_inline(tb, QEMU_PLUGIN_INLINE_ADD_U64, &blocks[n].instructions,
						 qemu_plugin_tb_n_insns(tb));
}

static void ended(qemu_plugin_id_t id, void *data)
{
	for (size_t n = 0; n < BLOCKS; n++)
		if (blocks[n].instructions)
			fprintf(out, "%" PRIx64 " %" PRIu64 "\n", blocks[n].address, blocks[n].instructions);
	fclose(out);
}

__attribute__((visibility("default"))) int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int argc,
							       char **argv)
{
	if (argc != 1 || strncmp(argv[0], "out=", 4))
		return -1;
	out = fopen(argv[0] + 4, "w");
	blocks = calloc(BLOCKS, sizeof(*blocks));
	if (!out || !blocks)
		return -1;
	qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
	qemu_plugin_register_atexit_cb(id, ended, NULL);
	return 0;
}
