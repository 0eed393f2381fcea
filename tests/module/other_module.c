/* Another module, as there are, whose commands declare no keys (those that do are refused; with an argument, OTHER.OPEN does): one that calls commands and replicates verbatim, one that opens keys, and one that calls a
   command whenever a key changes. */
#include <redismodule.h>
#include <string.h>

static int listening = 0;

/* OTHER.INCR key */
static int Incr(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
  if (argc != 2) return RedisModule_WrongArity(ctx);
  RedisModuleCallReply *reply = RedisModule_Call(ctx, "INCR", "s", argv[1]);
  RedisModule_ReplicateVerbatim(ctx);
  return reply ? RedisModule_ReplyWithCallReply(ctx, reply) : RedisModule_ReplyWithError(ctx, "ERR no reply");
}

/* OTHER.OPEN key value */
static int Open(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
  if (argc != 3) return RedisModule_WrongArity(ctx);
  RedisModuleKey *key = RedisModule_OpenKey(ctx, argv[1], REDISMODULE_WRITE);
  RedisModule_StringSet(key, argv[2]);
  RedisModule_CloseKey(key);
  return RedisModule_ReplyWithSimpleString(ctx, "OK");
}

/* OTHER.LISTEN */
static int Listen(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
  (void)argv, (void)argc;
  listening = 1;
  return RedisModule_ReplyWithSimpleString(ctx, "OK");
}

static int OnEvent(RedisModuleCtx *ctx, int type, const char *event, RedisModuleString *key) {
  (void)type, (void)key;
  if (!listening || strcmp(event, "heard") == 0) return REDISMODULE_OK;
  listening = 0;
  RedisModuleCallReply *reply = RedisModule_Call(ctx, "SET", "cc", "heard", event);
  if (reply) RedisModule_FreeCallReply(reply);
  listening = 1;
  return REDISMODULE_OK;
}

int RedisModule_OnLoad(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
  (void)argv;
  const int key = argc > 0 ? 1 : 0;
  if (RedisModule_Init(ctx, "other", 1, REDISMODULE_APIVER_1) == REDISMODULE_ERR) return REDISMODULE_ERR;
  if (RedisModule_CreateCommand(ctx, "other.incr", Incr, "write", 0, 0, 0) == REDISMODULE_ERR ||
      RedisModule_CreateCommand(ctx, "other.open", Open, "write", key, key, key) == REDISMODULE_ERR ||
      RedisModule_CreateCommand(ctx, "other.listen", Listen, "", 0, 0, 0) == REDISMODULE_ERR) {
    return REDISMODULE_ERR;
  }
  return RedisModule_SubscribeToKeyspaceEvents(ctx, REDISMODULE_NOTIFY_STRING | REDISMODULE_NOTIFY_GENERIC, OnEvent);
}
