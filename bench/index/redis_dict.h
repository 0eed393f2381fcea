// Redis' hash table with keys and values as the server's keyspace has them.  Also for C.
//
// As in redis-server 7.0: keys are sds strings, copied when they are added and hashed with SipHash; a value is the
// pointer in the entry: to an object, as in the server, or, where only the table is of interest, a number in its place.
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

// What an object has in front of the short string that it embeds: itself, and the string's sds header.
enum { kObjectHeader = 16 + 3 };

// The server's allocator settings: freed memory is given back by a thread of the allocator.
void RedisStart(void);
// An empty table of numbers, or of objects.
dict* RedisDictCreate(void);
dict* RedisDictCreateOfObjects(void);
// Adds a key that is absent: with a number, or with an object that holds it as a string of 8 bytes.
void RedisDictAdd(dict* table, const char* key, size_t bytes, uint64_t value);
void RedisDictAddObject(dict* table, const char* key, size_t bytes, uint64_t value);
// What the allocator gave to tables, entries, keys and objects of this process (bytes): INFO's used_memory.
uint64_t RedisUsedMemory(void);
// Of these, the table that is being left while `table` is rehashed.
uint64_t RedisDictOldTable(const dict* table);
// The name and version of that allocator.
const char* RedisAllocator(void);

// Makes an sds string of `bytes` < 256 in `room`, which has kSdsExtra more; returns where it starts: what dictFind
// takes.
enum { kSdsExtra = 4 };
const char* RedisMakeSds(char* room, const char* text, size_t bytes);

#ifdef __cplusplus
}
#endif
