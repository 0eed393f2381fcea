/* Redis' hash table with keys and values as the server's keyspace has them.  Also for C.
 *
 * As in redis-server 7.0: keys are sds strings, copied when they are added and hashed with SipHash; a value is the
 * pointer in the entry.  The server's values are objects, which cost memory and a cache miss more; here a number stands
 * in the pointer's place. */
#pragma once

#ifdef __cplusplus
#include <cstddef>
#include <cstdint>
extern "C" {
#else
#include <stddef.h>
#include <stdint.h>
#endif

#include <dict.h>

/* The server's allocator settings: freed memory is given back by a thread of the allocator. */
void RedisStart(void);
/* An empty table. */
dict* RedisDictCreate(void);
/* Adds a key that is absent. */
void RedisDictAdd(dict* table, const char* key, size_t bytes, uint64_t value);
/* What the allocator gave to tables, entries and keys of this process (bytes): INFO's used_memory. */
uint64_t RedisUsedMemory(void);
/* Of these, the table that is being left while `table` is rehashed. */
uint64_t RedisDictOldTable(const dict* table);

/* The name and version of that allocator. */
const char* RedisAllocator(void);

/* Makes an sds string of `bytes` < 256 in `room`, which has kSdsExtra more; returns where it starts: what dictFind
 * takes. */
enum { kSdsExtra = 4 };
const char* RedisMakeSds(char* room, const char* text, size_t bytes);

#ifdef __cplusplus
}
#endif
