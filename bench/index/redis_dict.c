// See redis_dict.h.  In C, because sds.h is not C++.
#include "redis_dict.h"

#include <sds.h>
#include <string.h>
#include <zmalloc.h>

static uint64_t HashOfSds(const void* key) { return dictGenHashFunction(key, sdslen((const sds)key)); }

static int IsSameSds(dict* table, const void* left, const void* right) {
  const size_t bytes = sdslen((const sds)left);
  (void)table;
  return bytes == sdslen((const sds)right) && memcmp(left, right, bytes) == 0;
}

static void FreeSds(dict* table, void* key) {
  (void)table;
  sdsfree(key);
}

static void FreeObject(dict* table, void* object) {
  (void)table;
  zfree(object);
}

static dictType type_of_numbers = {.hashFunction = HashOfSds, .keyCompare = IsSameSds, .keyDestructor = FreeSds};
static dictType type_of_objects = {
    .hashFunction = HashOfSds, .keyCompare = IsSameSds, .keyDestructor = FreeSds, .valDestructor = FreeObject};

void RedisStart(void) {
  static uint8_t seed[16] = "any other number";
  dictSetHashFunctionSeed(seed);
  set_jemalloc_bg_thread(1);
}

dict* RedisDictCreate(void) { return dictCreate(&type_of_numbers); }

dict* RedisDictCreateOfObjects(void) { return dictCreate(&type_of_objects); }

void RedisDictAdd(dict* table, const char* key, size_t bytes, uint64_t value) {
  dictAdd(table, sdsnewlen(key, bytes), (void*)(uintptr_t)value);
}

void RedisDictAddObject(dict* table, const char* key, size_t bytes, uint64_t value) {
  char* object = zcalloc(kObjectHeader + sizeof value + 1);  // before the key, as the server does
  memcpy(object + kObjectHeader, &value, sizeof value);
  dictAdd(table, sdsnewlen(key, bytes), object);
}

uint64_t RedisUsedMemory(void) { return zmalloc_used_memory(); }

uint64_t RedisDictOldTable(const dict* table) {
  return dictIsRehashing(table) ? DICTHT_SIZE(table->ht_size_exp[0]) * sizeof(dictEntry*) : 0;
}

const char* RedisAllocator(void) { return ZMALLOC_LIB; }

const char* RedisMakeSds(char* room, const char* text, size_t bytes) {
  struct sdshdr8* header = (struct sdshdr8*)room;
  header->len = header->alloc = (uint8_t)bytes;
  header->flags = SDS_TYPE_8;
  memcpy(header->buf, text, bytes);
  header->buf[bytes] = 0;
  return header->buf;
}
