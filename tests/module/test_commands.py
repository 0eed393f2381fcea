"""Every command that FaHA serves answers as stock Redis does; every other one that has keys is refused."""

import os
import random

import pytest

from cluster import wait_for
from resp import Connection
from twins import assert_nothing_native, words

SEED = int(os.environ.get("FAHA_SEED", "1"))
STEPS = int(os.environ.get("FAHA_STEPS", "15000"))
FAR = 4102444800  # a date in 2100, in seconds
BIG, SMALL = 2**63 - 1, -(2**63)


# fmt: off
SESSIONS = {
    "set": ["SET k v", "GET k", "SET k w", "GET k", "SET k '' ", "GET k", "STRLEN k", "TYPE k", "TYPE none", "DBSIZE"],
    "set nx xx get": [
        "SET k v XX", "GET k", "SET k v NX", "SET k w NX", "SET k w XX", "GET k", "SET k x GET", "SET k y NX GET",
        "SET none y NX GET", "SET k z XX GET", "SET absent z XX GET", "GET absent", "SET k v NX XX", "SET k v XX NX",
        "SET k v GET GET", "SET k v NX NX", "SET k v nx get", "GET k", "SET k v nX", "SET k v BAD", "SET k v ''"],
    "set with a deadline": [
        "SET k v EX 1000", "TTL k", "PTTL k", "SET k w KEEPTTL", "TTL k", "SET k w", "TTL k", "SET k v PX 1000000", "TTL k",
        f"SET k v EXAT {FAR}", f"SET k v PXAT {FAR}000", "TTL k", "SET k v EX 10 PX 10", "SET k v EX 10 EX 20", "TTL k",
        "SET k v EX 10 KEEPTTL", "SET k v KEEPTTL EX 10", "SET k v KEEPTTL KEEPTTL", "SET k v EX", "SET k v EX 0",
        "SET k v EX -1", "SET k v EX abc", "SET k v EX 1.5", f"SET k v EX {BIG}", f"SET k v PX {BIG}", "SET k v EX ' 1'",
        f"SET k v EXAT {BIG}", f"SET k v PXAT {BIG}", f"SET k v EX {BIG}0", "SET k v EXAT 0", "SET k v PXAT -5", "GET k",
        "SET k v PERSIST", "SET k v EX 100 NX", "SET k2 v EX 100 NX", "TTL k2", "SET k2 w XX EX 500 GET", "TTL k2",
        "SET k gone EXAT 1", "GET k", "EXISTS k", "DBSIZE", "SET k2 w NX EX 0", "SET k2 w GET EX 0"],
    "setnx setex psetex": [
        "SETNX k v", "SETNX k w", "GET k", "SETEX k 100 v", "TTL k", "SETEX k 0 v", "SETEX k -1 v", "SETEX k abc v",
        "PSETEX k 100000 v", "TTL k", "PSETEX k 0 v", f"PSETEX k {BIG} v", f"SETEX k {BIG} v", "SETEX k 9 v EX", "GET k"],
    "getdel getex": [
        "GETDEL k", "SET k v", "GETDEL k", "EXISTS k", "SET k v", "GETEX k", "GETEX k EX 100", "TTL k", "GETEX k PERSIST",
        "TTL k", "GETEX k PX 100000", "TTL k", f"GETEX k EXAT {FAR}", f"GETEX k PXAT {FAR}000", "GETEX k EX 1 PERSIST",
        "GETEX k PERSIST EX 1", "GETEX k PERSIST PERSIST", "GETEX k EX 10 PX 10", "GETEX k EX", "GETEX k EX 0",
        "GETEX k EX abc", "GETEX k NX", "GETEX k KEEPTTL", "GETEX none EX 0", "GETEX none EX abc", "GETEX none",
        "GETEX k EXAT 1", "EXISTS k", "GETEX k PERSIST"],
    "mset mget": [
        "MSET a 1 b 2 c 3", "MGET a b c d a", "MSET a 1 b", "MSET a", "MSET a 1 a 2", "GET a", "MSETNX d 4 a 5", "GET d",
        "MSETNX d 4 e 5", "MSETNX f 1 f 2", "GET f", "MSETNX x", "MSETNX x 1 y", "MGET", "MGET none", "SETEX a 100 v",
        "MSET a plain", "TTL a", "DBSIZE"],
    "append strlen": [
        "APPEND k abc", "APPEND k def", "GET k", "STRLEN k", "STRLEN none", "SETEX k 100 x", "APPEND k y", "TTL k",
        "APPEND k ''", "APPEND none ''", "EXISTS none", "GET none"],
    "incr": [
        "INCR n", "INCR n", "DECR n", "INCRBY n 10", "DECRBY n 3", "GET n", f"SET n {BIG}", "INCR n", "GET n", "INCRBY n 1",
        f"SET n {SMALL}", "DECR n", "DECRBY n 1", "INCRBY n -1", f"DECRBY n {SMALL}", f"INCRBY n {SMALL}", "SET n abc",
        "INCR n", "DECRBY n 1", "SET n 1", "INCRBY n abc", "DECRBY n 1.5", "INCRBY n ''", "INCRBY n ' 1'", "INCRBY n +1",
        "INCRBY n 01", "SET n ' 1'", "INCR n", "SET n 01", "INCR n", "SET n -0", "INCR n", "SET n ''", "INCR n",
        "SETEX n 100 5", "INCR n", "TTL n", f"SET n {BIG}0", "INCR n", "INCRBY n 99999999999999999999"],
    "incrbyfloat": [
        "INCRBYFLOAT f 1.5", "INCRBYFLOAT f 1", "GET f", "INCRBYFLOAT f -2.5", "INCRBYFLOAT f 5.0e3", "INCRBYFLOAT f 0.1",
        "INCRBYFLOAT f abc", "INCRBYFLOAT f inf", "INCRBYFLOAT f nan", "INCRBYFLOAT f ' 1'", "INCRBYFLOAT f 1e4932",
        "INCRBYFLOAT f 1e400", "SET f abc", "INCRBYFLOAT f 1", "SET f 3.0", "INCRBYFLOAT f 1.10", "SET f ' 1'",
        "INCRBYFLOAT f 1", "SET f ''", "INCRBYFLOAT f 1", "SETEX f 100 1", "INCRBYFLOAT f 1", "TTL f", "INCRBYFLOAT f 0x10",
        "SET f inf", "INCRBYFLOAT f 1", "SET f 10", "INCR f", "INCRBYFLOAT f 3", "INCR f", "INCRBYFLOAT f -1e-7", "GET f",
        "SET f 12345678901234567890", "INCRBYFLOAT f 0.1", "SET f 1e5", "INCRBYFLOAT f 0"],
    "del exists": [
        "MSET a 1 b 2 c 3", "EXISTS a b c d a", "DEL a a b", "DEL none", "UNLINK c c", "EXISTS a b c", "DEL", "UNLINK",
        "EXISTS", "DBSIZE"],
    "expire": [
        "EXPIRE k 100", "SET k v", "EXPIRE k 100", "TTL k", "EXPIRE k 50 GT", "EXPIRE k 200 GT", "TTL k", "EXPIRE k 300 LT",
        "EXPIRE k 150 LT", "TTL k", "EXPIRE k 100 NX", "EXPIRE k 100 XX", "PERSIST k", "PERSIST k", "EXPIRE k 100 XX",
        "EXPIRE k 100 GT", "EXPIRE k 100 LT", "TTL k", "PERSIST k", "EXPIRE k 100 NX", "EXPIRE k 100 NX XX",
        "EXPIRE k 100 NX GT", "EXPIRE k 100 GT LT", "EXPIRE k 100 BAD", "EXPIRE k abc",
        "EXPIRE k abc BAD", f"EXPIRE k {BIG}", f"EXPIRE k {SMALL}", f"PEXPIRE k {BIG}", f"PEXPIREAT k {BIG}",
        f"EXPIREAT k {BIG}", f"EXPIRE none {BIG}", "EXPIRE none abc", "EXPIRE k 1.5", "PEXPIRE k 100000", "TTL k",
        f"EXPIREAT k {FAR}", f"PEXPIREAT k {FAR}000", "TTL k", "PTTL k", "TTL none", "PTTL none", "PERSIST none",
        "EXPIRE k -1", "EXISTS k", "SET k v", "EXPIRE k 0", "EXISTS k", "SET k v", "PEXPIRE k -100", "EXISTS k", "SET k v",
        "EXPIREAT k 1", "EXISTS k", "SET k v", "PEXPIREAT k 0", "GET k", "SET k v", f"PEXPIRE k {SMALL}", "EXISTS k",
        "SETEX k 100 v", "EXPIRE k -1 GT", "EXPIRE k -1 LT", "EXISTS k"],
    "scan keys randomkey": [
        "SCAN 0", "KEYS *", "RANDOMKEY", "SET key:1 v", "SCAN 0", "SCAN 0 COUNT 100", "SCAN 0 MATCH key:*", "SCAN 0 MATCH a*",
        "SCAN 0 TYPE string", "SCAN 0 TYPE STRING", "SCAN 0 TYPE list", "SCAN 0 TYPE nothing", "SCAN 0 COUNT 7 MATCH * TYPE string",
        "SCAN 0 MATCH a* MATCH key:?", "SCAN", "SCAN abc", "SCAN 1x", "SCAN ' 1'", "SCAN ''", "SCAN +0", "SCAN 0 COUNT 0",
        "SCAN 0 COUNT -1", "SCAN 0 COUNT abc", "SCAN 0 COUNT", "SCAN 0 MATCH", "SCAN 0 TYPE", "SCAN 0 BAD 1", "SCAN 0 BAD",
        "SCAN 99999999999999999999999", "scan 0 count 7 match KEY*", "KEYS key:1", "KEYS key:[0-9]", "KEYS", "KEYS a b", "KEYS ''",
        "RANDOMKEY", "RANDOMKEY a", "SELECT 3", "KEYS *", "SCAN 0", "RANDOMKEY", "SELECT 0", "PEXPIREAT key:1 1", "KEYS *", "SCAN 0",
        "RANDOMKEY", "SET '' empty", "KEYS *", "KEYS ''", "KEYS ?", "KEYS **", "SCAN 0 MATCH ''", "RANDOMKEY"],
    "databases": [
        *[c for i in range(16) for c in (f"SELECT {i}", f"SET k {i}", f"SET own{i} x")], *[
            c for i in range(16) for c in (f"SELECT {i}", "GET k", "DBSIZE", f"EXISTS own{i} own{i + 1}")],
        "SELECT 3", "FLUSHDB", "DBSIZE", "GET k", "SELECT 4", "DBSIZE", "SELECT 16", "SELECT -1", "SELECT abc", "GET k",
        "FLUSHALL", "DBSIZE", "SELECT 9", "DBSIZE", "GET k", "SET k again", "GET k", "SELECT 0", "GET k"],
    "flush": [
        "SET k v", "FLUSHDB BAD", "FLUSHDB SYNC ASYNC", "FLUSHALL BAD", "GET k", "FLUSHDB ASYNC", "GET k", "SET k v",
        "FLUSHALL sync", "GET k", "FLUSHDB SYNC", "FLUSHALL ASYNC", "DBSIZE"],
    "transactions": [
        "MULTI", "SET a 1", "GET a", "INCR a", "TTL a", "EXEC", "MULTI", "SET a 5", "DISCARD", "GET a", "EXEC", "DISCARD",
        "MULTI", "INCR a", "SET s x", "INCR s", "GET a", "EXEC", "MULTI", "GET", "SET a 9", "EXEC", "GET a", "MULTI", "NOSUCH",
        "EXEC", "MULTI", "SELECT 2", "SET in2 x", "DBSIZE", "EXEC", "DBSIZE", "SELECT 0", "MULTI", "FLUSHALL", "DBSIZE", "SET z 1",
        "DBSIZE", "EXEC", "MULTI", "EXEC", "MULTI", "MSET p 1 q 2", "DEL p q p", "EXISTS p", "SET k v EX 0", "EXEC", "MULTI",
        "MULTI", "WATCH a", "EXEC", "DBSIZE"],
    "scripts": [
        "EVAL 'return redis.call(\"SET\", KEYS[1], ARGV[1])' 1 k v", "EVAL 'return redis.call(\"get\", KEYS[1])' 1 k",
        "EVAL 'return redis.call(\"get\", KEYS[1])' 1 none", "EVAL 'return {redis.call(\"INCR\", \"n\"), redis.call(\"INCR\", \"n\")}' 0",
        "EVAL 'return redis.pcall(\"INCR\", \"k\")' 0", "EVAL 'return redis.call(\"INCR\", \"k\")' 0",
        "EVAL 'redis.call(\"SELECT\", 5) redis.call(\"SET\", \"five\", 1) return redis.call(\"DBSIZE\")' 0", "DBSIZE",
        "EVAL 'return redis.call(\"MGET\", \"k\", \"none\", \"n\")' 0", "EVAL_RO 'return redis.call(\"GET\", \"k\")' 0",
        "EVAL_RO 'return redis.pcall(\"SET\", \"k\", \"w\")[\"err\"]:sub(1, 40)' 0", "GET k",
        "EVAL 'return redis.call(\"TTL\", \"k\")' 0", "EVAL 'return redis.call(\"TYPE\", \"k\")' 0",
        "EVAL 'redis.call(\"SET\", \"a\", 1) redis.call(\"DEL\", \"a\") return redis.call(\"EXISTS\", \"a\")' 0",
        "EVAL 'for i = 1, 100 do redis.call(\"SET\", \"loop\" .. i, i) end return redis.call(\"DBSIZE\")' 0", "DBSIZE",
        "EVAL 'return #redis.call(\"GET\", \"loop77\")' 0", "MULTI", "SET m 1", "EVAL 'return redis.call(\"INCR\", \"m\")' 0", "GET m",
        "EXEC", "EVAL 'redis.call(\"FLUSHALL\") return redis.call(\"DBSIZE\")' 0", "DBSIZE"],
    "getset getrange setrange": [
        "GETSET k v", "GETSET k w", "SETEX k 100 x", "GETSET k y", "TTL k", "GETSET none v", "SET k 'This is a string'", "GETRANGE k 0 3",
        "GETRANGE k -3 -1", "GETRANGE k 0 -1", "GETRANGE k 10 100", "GETRANGE k 5 2", "GETRANGE k -1 -5", "GETRANGE k -100 3",
        "GETRANGE k -100 -90", "GETRANGE k 100 200", "GETRANGE absent 0 -1", "GETRANGE absent x 0", "GETRANGE k x 0", "GETRANGE k 0 1.5",
        f"GETRANGE k {SMALL} {BIG}", f"GETRANGE k {BIG} {SMALL}", "GETRANGE k 0 99999999999999999999", "SUBSTR k 0 3", "SUBSTR k -2 -1",
        "SET k ''", "GETRANGE k 0 -1", "SET n 1234567", "GETRANGE n 1 3", "SETRANGE k 5 abc", "GET k", "SETRANGE k 0 ''", "SETRANGE q 0 ''",
        "EXISTS q", "SETRANGE q 99999999999 ''", "SETRANGE k 1 x", "GET k", "SETRANGE k -1 x", "SETRANGE k x x", "SETRANGE k 536870912 x",
        f"SETRANGE k {BIG} x", "SETRANGE k 536870908 xxxxxx", "GET k", "SETEX k 100 abc", "SETRANGE k 1 X", "TTL k", "GET k", "SETRANGE n 2 x",
        "GET n", "INCR n", "SETRANGE new 3 x", "GET new"],
    "lcs": [
        "MSET a ohmytext b mynewtext n 123456", "LCS a b", "LCS a b LEN", "LCS a b IDX", "LCS a b IDX MINMATCHLEN 4", "LCS a b IDX WITHMATCHLEN",
        "LCS a b IDX MINMATCHLEN 4 WITHMATCHLEN", "LCS a none", "LCS none none IDX", "LCS a a", "LCS a b LEN IDX", "LCS a b BAD", "LCS a b MINMATCHLEN",
        "LCS a b MINMATCHLEN x", "LCS n n LEN", "LCS a n", "DBSIZE"],
    "bits": [
        "SETBIT b 7 1", "SETBIT b 7 1", "GET b", "SETBIT b 7 0", "SETBIT b 100 1", "STRLEN b", "GETBIT b 100", "GETBIT b 99", "GETBIT b 10000",
        "GETBIT none 0", "SETBIT b -1 1", "SETBIT b x 1", "SETBIT b 1 2", "SETBIT b 1 x", "SETBIT b 1 -1", "SETBIT b 4294967296 1",
        f"SETBIT b {BIG} 1", "GETBIT b -1", "GETBIT b x", "GETBIT b 4294967296", "GETBIT b 4294967295", "SETBIT b 1.5 0", "SETEX b 100 foobar", "SETBIT b 3 1",
        "TTL b", "GET b", "BITCOUNT b", "BITCOUNT b 0 0", "BITCOUNT b 1 1", "BITCOUNT b 5 30 BIT", "BITCOUNT b -2 -1", "BITCOUNT b -3 -5",
        "BITCOUNT b 0 -1 BYTE", "BITCOUNT b -10 -1 BIT", "BITCOUNT b 1 2 BAD", "BITCOUNT b -1 -2 BAD", "BITCOUNT b 1", "BITCOUNT b x 1", "BITCOUNT b 1 x",
        "BITCOUNT none x y z", "BITCOUNT none", "BITCOUNT b 1 2 BIT 3", "BITCOUNT b 100 200", f"BITCOUNT b {SMALL} {BIG}", "SET n 12345",
        "BITCOUNT n", "GETBIT n 3", "SETBIT n 3 0", "INCR n", "SET e ''", "BITCOUNT e", "BITCOUNT e 0 -1", "GETBIT e 0", "SETBIT e 0 0", "STRLEN e",
        "SETBIT absent 9 0", "STRLEN absent"],
    "bitpos": [
        "BITPOS none 0", "BITPOS none 1", "BITPOS none 0 5 6", "SET e ''", "BITPOS e 0", "BITPOS e 1", "BITPOS e 0 0 -1", r"SETRANGE k 2 x",
        "BITPOS k 0", "BITPOS k 1", "BITPOS k 1 2", "BITPOS k 1 3", "BITPOS k 1 0 1", "BITPOS k 1 17 20 BIT", "BITPOS k 0 17 18 BIT", "BITPOS k 1 2 -1 BYTE",
        "BITPOS k 2", "BITPOS k x", "BITPOS k 1 x", "BITPOS k 1 0 x", "BITPOS k 1 0 1 BAD", "BITPOS k 1 0 1 BIT 3", "BITPOS k 1 -1 -3", "BITPOS k 0 -1 -3",
        "BITPOS k 1 100", "BITPOS k 0 100", "BITFIELD f SET u8 0 255 SET u8 8 255 SET u8 16 255", "BITPOS f 0", "BITPOS f 0 0", "BITPOS f 0 1", "BITPOS f 0 0 -1", "BITPOS f 0 3",
        "BITPOS f 0 0 23 BIT", "BITPOS f 0 1 22 BIT", "BITPOS f 1 9 9 BIT", "BITPOS f 0 9 9 BIT", "BITPOS f 1 -1 -1 BIT", f"BITPOS f 1 {SMALL} {BIG}"],
    "bitop": [
        "MSET a foobar b abcdef c 12", "BITOP AND d a b", "GET d", "BITOP OR d a b c", "GET d", "BITOP XOR d a b c", "GET d", "BITOP NOT d a", "GET d",
        "BITOP NOT d a b", "BITOP BAD d a", "BITOP AND d", "BITOP and d none a", "GET d", "BITOP OR d none none2", "EXISTS d", "BITOP XOR d none", "SETEX d 100 x",
        "BITOP AND d a c", "TTL d", "GET d", "BITOP AND a a b c", "GET a", "BITOP NOT d d", "GET d", "SET e ''", "BITOP OR d e e", "EXISTS d", "DBSIZE"],
    "bitfield": [
        "BITFIELD f", "BITFIELD f SET u8 0 255 GET u8 0", "BITFIELD f SET i8 0 -100 GET i8 0 GET u4 2", "BITFIELD f INCRBY u2 100 1 OVERFLOW SAT INCRBY u2 102 1",
        "BITFIELD f INCRBY u2 100 1 OVERFLOW SAT INCRBY u2 102 1", "BITFIELD f INCRBY u2 100 1 OVERFLOW SAT INCRBY u2 102 1",
        "BITFIELD f INCRBY u2 100 1 OVERFLOW FAIL INCRBY u2 102 1", "BITFIELD f OVERFLOW FAIL INCRBY u2 102 1", "GET f", "BITFIELD f SET i64 #1 -1 GET i64 #1 GET u63 #1",
        f"BITFIELD f SET i64 0 {BIG} INCRBY i64 0 1 GET i64 0", f"BITFIELD f OVERFLOW SAT SET i64 0 {BIG} INCRBY i64 0 1", f"BITFIELD f OVERFLOW SAT SET i64 0 {SMALL} INCRBY i64 0 -1",
        f"BITFIELD f OVERFLOW FAIL SET i64 0 {SMALL} INCRBY i64 0 -1", "BITFIELD f SET u8 0 -1 GET u8 0", "BITFIELD f OVERFLOW SAT SET u8 0 -1 GET u8 0",
        "BITFIELD f OVERFLOW FAIL SET u8 0 256 GET u8 0", "BITFIELD f SET u64 0 1", "BITFIELD f SET i65 0 1", "BITFIELD f GET u0 0", "BITFIELD f GET x8 0", "BITFIELD f GET '' 0",
        "BITFIELD f GET u8", "BITFIELD f SET u8 0", "BITFIELD f SET u8 0 x", "BITFIELD f GET u8 -1", "BITFIELD f GET u8 x", "BITFIELD f GET u8 #x", "BITFIELD f OVERFLOW BAD GET u8 0",
        "BITFIELD f OVERFLOW", "BITFIELD f BAD u8 0", "BITFIELD f SET u8 4294967296 1", "BITFIELD f GET u8 4294967295", "BITFIELD f GET i5 3 SET i5 3 7 GET i5 3 INCRBY i5 3 -30",
        "BITFIELD_RO f GET u8 0 GET i13 5", "BITFIELD_RO f SET u8 0 1", "BITFIELD_RO f", "BITFIELD_RO none GET u8 100", "BITFIELD_RO f OVERFLOW SAT GET u8 0", "SETEX t 100 abc",
        "BITFIELD t INCRBY u8 0 1", "TTL t", "GET t", "BITFIELD t GET u8 1000", "STRLEN t", "SET n 77", "BITFIELD n INCRBY u8 0 1", "GET n", "DBSIZE"],
    "hyperloglogs": [
        "PFADD h", "PFADD h", "PFADD h a b c", "PFADD h a b c", "PFCOUNT h", "PFCOUNT h", "PFADD g c d e", "PFCOUNT h g", "PFCOUNT h none", "PFCOUNT none", "PFMERGE m h g", "GET m",
        "PFCOUNT m", "STRLEN h", "PFMERGE m", "PFMERGE new", "PFCOUNT new", "SET s string", "PFADD s a", "PFCOUNT s", "PFCOUNT h s", "PFMERGE m s", "PFMERGE s h", "GET s", "EXPIRE h 100",
        "PFADD h z", "TTL h", "EXPIRE m 100", "PFMERGE m g", "TTL m", "DBSIZE", "SET c HYLLxxxx", "PFADD c 1", "PFCOUNT c", "SETRANGE g 16 xxxxx", "PFCOUNT g", "PFADD g q"],
    "rename copy move": [
        "RENAME a b", "RENAMENX a b", "SET a 1", "RENAME a b", "EXISTS a", "GET b", "RENAME b b", "RENAMENX b b", "RENAME none none", "RENAMENX none none", "SETEX c 100 x", "RENAME c b", "TTL b",
        "GET b", "SET a 2", "RENAMENX a b", "RENAMENX a d", "GET d", "COPY d e", "COPY d e", "COPY d e REPLACE", "GET e", "COPY b e REPLACE", "TTL e", "COPY none x", "COPY d d", "COPY d d DB 0",
        "COPY d d DB 1", "COPY d d DB 1", "COPY d d DB 1 REPLACE", "COPY d x DB", "COPY d x DB abc", "COPY d x DB 99", "COPY d x DB -1", "COPY d x DB 99999999999", "COPY d x BAD", "COPY d x replace db 2 REPLACE",
        "COPY d x DB 3 DB 4", "MOVE d 0", "MOVE d 1", "MOVE d 2", "EXISTS d", "MOVE none 2", "MOVE e 99", "MOVE e abc", "MOVE e -1", "MOVE e 99999999999", "MOVE b 5", "SELECT 5", "TTL b", "SELECT 4", "GET x",
        "SELECT 2", "GET d", "GET x", "SELECT 1", "GET d", "DBSIZE", "SELECT 0", "DBSIZE", "SET p v", "PEXPIREAT p 1", "RENAME p q", "COPY p q", "MOVE p 1"],
    "expiretime touch": [
        "EXPIRETIME k", "PEXPIRETIME k", "SET k v", "EXPIRETIME k", "PEXPIRETIME k", f"EXPIREAT k {FAR}", "EXPIRETIME k", "PEXPIRETIME k", f"PEXPIREAT k {FAR}499", "EXPIRETIME k", f"PEXPIREAT k {FAR}500",
        "EXPIRETIME k", "SET l v", "TOUCH k l none k", "TOUCH none"],
    "dump restore": [
        "DUMP none", "SET k v", "DUMP k", "SET n 123", "DUMP n", "SET big " + "abc" * 100, "DUMP big", f"SET m {BIG}", "DUMP m", "SET neg -5", "DUMP neg", "RESTORE r 0 bad", "RESTORE r 0 ''",
        "RESTORE r x bad", "RESTORE r -1 bad", "RESTORE k 0 bad", "RESTORE k 0 bad REPLACE", "RESTORE k 0 bad BAD", "RESTORE k 0 bad IDLETIME", "RESTORE k 0 bad IDLETIME -1", "RESTORE k 0 bad FREQ 256",
        "RESTORE k 0 bad FREQ x", "EXISTS r", "GET k"],
    "sort": [
        "SORT none", "SORT_RO none", "SORT none BY w_* GET o_* GET # LIMIT 0 10 ASC ALPHA", "SORT none LIMIT x y", "SORT none BAD", "SORT none LIMIT 0", "SET k v", "SORT k", "SORT_RO k", "SORT k BY x GET y STORE d",
        "EXISTS d", "SET d v", "SORT none STORE d", "EXISTS d", "SORT none STORE d", "SORT_RO none STORE d", "SET d v", "SORT none STORE x STORE d", "EXISTS d", "SORT none BY STORE STORE k", "EXISTS k", "SORT none STORE",
        "SORT none STORE none", "DBSIZE"],
    "object memory": [
        "OBJECT ENCODING none", "OBJECT REFCOUNT none", "OBJECT IDLETIME none", "OBJECT FREQ none", "SET k v", "OBJECT ENCODING k", "OBJECT REFCOUNT k", "OBJECT IDLETIME k", "OBJECT FREQ k", "SET n 12345",
        "OBJECT ENCODING n", f"SET n {BIG}", "OBJECT ENCODING n", f"SET n {BIG}0", "OBJECT ENCODING n", "SET n 01", "OBJECT ENCODING n", "SET n " + "x" * 44, "OBJECT ENCODING n", "SET n " + "x" * 45,
        "OBJECT ENCODING n", "SET n ''", "OBJECT ENCODING n", "OBJECT HELP", "OBJECT", "OBJECT BAD", "OBJECT BAD k", "OBJECT ENCODING", "OBJECT ENCODING k k", "object encoding k", "CONFIG SET maxmemory-policy allkeys-lfu",
        "OBJECT IDLETIME k", "CONFIG SET maxmemory-policy noeviction", "MEMORY USAGE k", "MEMORY USAGE none", "MEMORY USAGE k SAMPLES 5", "MEMORY USAGE k SAMPLES -1", "MEMORY USAGE k SAMPLES x", "MEMORY USAGE k BAD",
        "MEMORY USAGE", "MEMORY USAGE k SAMPLES", "SET longer " + "y" * 500, "MEMORY USAGE longer", "MEMORY HELP", "MEMORY BAD"],
    "debug": [
        "DEBUG DIGEST", "SET k v", "DEBUG DIGEST", "SETEX e 100 x", "DEBUG DIGEST", "SELECT 3", "SET k v", "DEBUG DIGEST", "DEBUG DIGEST-VALUE k", "DEBUG DIGEST-VALUE k none k", "DEBUG DIGEST-VALUE",
        "DEBUG OBJECT none", "SELECT 0", "DEBUG DIGEST-VALUE e", "SET n 123", "DEBUG DIGEST", "DEBUG digest-value n", "DEBUG SLEEP 0", "FLUSHALL", "DEBUG DIGEST"],
}
# fmt: on


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("name", SESSIONS)
def test_session(twins, name, protocol):
    for connection in twins.connections:
        connection.call("HELLO", protocol)
    for line in SESSIONS[name]:
        twins(*words(line))


def served():
    # fmt: off
    return ["set", "get", "getdel", "getex", "setnx", "setex", "psetex", "mset", "msetnx", "mget", "append", "strlen", "getset",
            "getrange", "substr", "setrange", "lcs", "incr", "decr", "incrby", "decrby", "incrbyfloat", "setbit", "getbit", "bitcount",
            "bitpos", "bitop", "bitfield", "bitfield_ro", "pfadd", "pfcount", "pfmerge", "del", "unlink", "exists", "touch", "type", "expire",
            "pexpire", "expireat", "pexpireat", "ttl", "pttl", "expiretime", "pexpiretime", "persist", "rename", "renamenx", "copy", "move",
            "dump", "restore", "sort", "sort_ro", "object|encoding", "object|freq", "object|idletime", "object|refcount", "memory|usage",
            "scan", "keys", "randomkey", "dbsize", "flushdb", "flushall"]
    # fmt: on


@pytest.mark.parametrize("command", served())
def test_arity(twins, command):
    for count in range(6):
        args = [*command.split("|"), *["1"] * count]
        twins(*args)
        twins("MULTI")
        twins(args[0].upper(), *args[1:])
        twins("EXEC")
        quoted = ",".join(f'"{arg}"' for arg in args)
        twins("EVAL", f"return redis.pcall({quoted}) == nil", 0)


def test_binary_keys_and_values_of_every_size(twins):
    everything = bytes(range(256))
    twins("SET", everything, everything * 3)
    twins("GET", everything)
    twins("SET", b"", b"the empty key")
    twins("GET", b"")
    twins("EXISTS", b"")
    twins("SET", b"a\r\n\x00b", b"\r\n")
    twins("GET", b"a\r\n\x00b")
    for size in (1, 63, 64, 65, 4095, 4096, 100_000, 1_000_000):
        twins("SET", f"size{size}", b"x" * size)
        twins("STRLEN", f"size{size}")
        twins("GET", f"size{size}")
        twins("SET", b"k" * size, size)
        twins("GET", b"k" * size)


class Random:
    """Random calls from a small world, so that they meet: few keys, few databases, and all that goes wrong."""

    NUMBERS = ["0", "1", "-1", "7", "100", "1000", str(BIG), str(SMALL), str(BIG) + "0", "1.5", "abc", "", " 1", "01"]
    SPANS = ["1000", "5000", "100000", "0", "-1", str(BIG), "abc"]
    DATES = [str(FAR), str(FAR) + "000", "1", "0", str(BIG), "x"]

    def __init__(self, seed):
        self.random = random.Random(seed)

    def key(self):
        return "k" + str(self.random.randrange(8))

    def value(self):
        return self.random.choice([*self.NUMBERS, "v", "longer " * self.random.randrange(30)])

    def deadline(self):
        option = self.random.choice(["EX", "PX", "EXAT", "PXAT", "ex"])
        values = self.DATES if "AT" in option else self.SPANS
        # A short PX would run out between the two servers.
        return [option, "500000" if option == "PX" else self.random.choice(values)]

    def bit_range(self, least):
        ends = [self.random.randrange(-70, 70) for _ in range(self.random.randrange(4))]
        return [*ends, *self.random.choice([[], ["BIT"], ["BYTE"]])] if len(ends) > least else ends

    def field(self):
        pick = self.random
        place = [pick.choice("iu") + str(pick.choice([1, 2, 5, 8, 31, 63, 64])), pick.choice(["", "#"]) + str(pick.randrange(9))]
        number = pick.choice([*self.NUMBERS[:8], "-3", "300"])
        return pick.choice(
            [["GET", *place], ["SET", *place, number], ["INCRBY", *place, number], ["OVERFLOW", pick.choice(["WRAP", "SAT", "FAIL"])]]
        )

    def set_options(self):
        options = []
        for _ in range(self.random.choice([0, 0, 1, 1, 2, 3])):
            options += self.random.choice([["NX"], ["XX"], ["GET"], ["KEEPTTL"], self.deadline(), ["PERSIST"]])
        return options

    def call(self):
        pick = self.random
        some = [self.key() for _ in range(pick.randrange(1, 5))]
        return pick.choice(
            [
                lambda: ["SET", self.key(), self.value(), *self.set_options()],
                lambda: ["SET", self.key(), self.value()],
                lambda: [pick.choice(["GET", "GETDEL", "STRLEN", "TYPE", "INCR", "DECR", "TTL", "PTTL", "PERSIST"]), self.key()],
                lambda: [pick.choice(["SETNX", "APPEND"]), self.key(), self.value()],
                lambda: [pick.choice(["INCRBY", "DECRBY", "INCRBYFLOAT"]), self.key(), pick.choice(self.NUMBERS)],
                lambda: [pick.choice(["SETEX", "PSETEX"]), self.key(), pick.choice(["500000", "0", "x"]), self.value()],
                lambda: ["GETEX", self.key(), *pick.choice([[], ["PERSIST"], self.deadline(), ["EX"]])],
                lambda: [pick.choice(["DEL", "UNLINK", "EXISTS", "MGET"]), *some],
                lambda: [pick.choice(["MSET", "MSETNX"]), *[part for key in some for part in (key, self.value())]],
                lambda: [
                    pick.choice(["EXPIRE", "EXPIREAT"]), self.key(), pick.choice([*self.SPANS, str(FAR)]),
                    *pick.choice([[], ["NX"], ["XX"], ["GT"], ["LT"], ["XX", "GT"], ["NX", "XX"], ["??"]])],  # fmt: skip
                lambda: ["PEXPIREAT", self.key(), pick.choice(self.DATES)],
                lambda: ["DBSIZE"],
                lambda: [pick.choice(["RENAME", "RENAMENX"]), self.key(), self.key()],
                lambda: ["COPY", self.key(), self.key(), *pick.choice([[], ["REPLACE"], ["DB", "1"], ["DB", "2", "REPLACE"], ["DB", "99"]])],
                lambda: ["MOVE", self.key(), pick.choice(["0", "1", "2", "99"])],
                lambda: ["SETRANGE", self.key(), pick.choice(["0", "3", "20", "-1"]), pick.choice(["", "xy"])],
                lambda: ["GETRANGE", self.key(), pick.randrange(-9, 9), pick.randrange(-9, 9)],
                lambda: ["GETSET", self.key(), self.value()],
                lambda: ["SETBIT", self.key(), pick.randrange(-1, 90), pick.randrange(3)],
                lambda: ["BITCOUNT", self.key(), *self.bit_range(2)],
                lambda: ["BITPOS", self.key(), pick.randrange(2), *self.bit_range(1)],
                lambda: ["BITOP", pick.choice(["AND", "OR", "XOR", "NOT"]), *some],
                lambda: ["BITFIELD", self.key(), *[part for _ in some for part in self.field()]],
                lambda: [pick.choice(["PFADD", "PFMERGE", "LCS", "DUMP", "EXPIRETIME", "TOUCH", "SORT"]), *some],
                lambda: ["EXISTS", *some],
            ]
        )()


@pytest.mark.parametrize("seed", range(SEED, SEED + 3))
def test_random_calls(twins, seed):
    """Two clients, databases, transactions and watches; FAHA_SEED and FAHA_STEPS choose the run."""
    world = Random(seed)
    pick = world.random
    clients = [twins, twins.another()]
    open_transaction = {client: False for client in clients}
    for _ in range(STEPS // 3):
        client = pick.choice(clients)
        chance = pick.random()
        if chance < 0.02:
            client("SELECT", pick.choice([0, 0, 1, 2, 15, 16]))
        elif chance < 0.04:
            client("MULTI")
            open_transaction[client] = True
        elif chance < 0.08:
            client(pick.choice(["EXEC", "EXEC", "EXEC", "DISCARD"]))
            open_transaction[client] = False
        elif chance < 0.11 and not open_transaction[client]:
            keys = [world.key(), world.key()]
            client("WATCH", *keys)
        elif chance < 0.115:
            client(pick.choice(["FLUSHDB", "FLUSHALL"]))
        elif chance < 0.15:
            call = world.call()
            script = "local r = redis.pcall(unpack(ARGV)) if type(r) == 'table' and r.err then return 'an error' end return r"
            client("EVAL", script, 0, *call)
        else:
            client(*world.call())


def test_watch(twins):
    other = twins.another()
    changes = ["SET k x", "APPEND k x", "DEL k", "EXPIRE k 100", "FLUSHDB", "FLUSHALL", "SET k v KEEPTTL", "GETDEL k", "INCR n", "GETSET k x", "SETRANGE k 0 x", "SETBIT k 0 1", "RENAME n k", "COPY n k REPLACE", "MOVE k 7",
               "BITOP NOT k n", "PFADD k a", "RESTORE k 0 bad REPLACE"]
    for change in [*changes, "GET k", "SET unrelated x", "PERSIST k", "EXPIRE none 1", "DEL none", "SET k v NX", "PFCOUNT k", "DUMP k",
                   "LCS k n", "SORT k", "MEMORY USAGE k", "SETBIT k 1 1", "RENAMENX n k", "COPY n k", "GETRANGE k 0 1", "TOUCH k"]:
        for prepare in ("SET k v", "DEL k"):
            twins(*words(prepare))
            twins("SET", "n", 1)
            other("EVAL", "redis.call('SELECT', 7) return redis.call('DEL', 'k')", 0)
            twins("WATCH", "k", "n", "never")
            other(*words(change))
            twins("MULTI")
            twins("SET", "done", change)
            twins("EXEC")
    # In another database the same name is another key.
    twins("SET", "k", "v")
    twins("WATCH", "k")
    other("SELECT", 1)
    for change in ("SET k elsewhere", "FLUSHDB", "FLUSHALL"):
        other(*words(change))
        twins("MULTI")
        twins("PING")
        twins("EXEC")
        twins("SET", "k", "v")
        twins("WATCH", "k")


def test_watch_and_flushes(twins):
    """A flush of one database leaves the watches of another alone; a flush of all finds them, however many there are."""
    other = twins.another()
    for names in (0, 70_000):
        for flush in ("FLUSHALL", "FLUSHDB"):
            twins("SELECT", 2)
            twins("SET", "k", "v")
            twins("WATCH", "k", "absent")
            for start in range(0, names, 1000):
                twins("WATCH", *(f"name{i}" for i in range(start, start + 1000)))
            other("SELECT", 0)
            other("SET", "k", "v")
            other("FLUSHDB")
            other("SELECT", 2)
            twins("MULTI")
            other(flush)
            assert twins("EXEC") == ("*", None)


def test_keyspace_notifications(twins):
    listener = twins.another()
    twins("CONFIG", "SET", "notify-keyspace-events", "KEA")
    listener("PSUBSCRIBE", "__key*__:*")
    # fmt: off
    lines = ["SET k v", "SET k v EX 100", "SET k v KEEPTTL", "SETNX k w", "SETNX l w", "SETEX k 100 v", "GETEX k PERSIST",
             "GETEX k EX 100", "APPEND k x", "INCR n", "DECRBY n 5", "INCRBYFLOAT n 1.5", "MSET a 1 b 2", "MSETNX c 1 d 2",
             "EXPIRE a 100", "PERSIST a", "PERSIST a", "EXPIRE a -1", "GETDEL b", "DEL c d none", "UNLINK l", "GET k",
             "SET k v EXAT 1", "GET k", "SET z v", "GETEX z EXAT 1", "EXPIREAT none 1", "SELECT 1", "SET k v", "DEL k",
             "GETSET k v", "SETRANGE k 1 x", "SETRANGE k 1 ''", "SETBIT k 1 1", "SETBIT k 1 1", "BITFIELD k SET u8 0 1 GET u8 0",
             "BITFIELD k SET u8 0 1", "BITOP NOT l k", "BITOP AND l none", "BITOP AND none none", "PFADD h a", "PFADD h a", "PFMERGE i h",
             "PFMERGE i h", "PFMERGE i k", "PFCOUNT h", "PFCOUNT h i", "RENAME k l", "RENAME l l", "RENAMENX l k", "RENAMENX k k", "COPY k m",
             "COPY k m", "COPY k m DB 2", "MOVE k 3", "MOVE k 3", "DUMP m", "LCS m m", "SORT none STORE m", "SORT none STORE m", "TOUCH h",
             "OBJECT ENCODING none", "MEMORY USAGE none", "RESTORE h 0 bad REPLACE"]
    # fmt: on
    for line in lines:
        twins(*words(line))
    twins("SELECT", 0)
    twins("SET", "the end", "x")
    while True:
        if listener.read("a notification")[1][-1][1] == "the end":
            break
    twins("CONFIG", "SET", "notify-keyspace-events", "")


def test_client_side_tracking(twins):
    reader = twins.another()
    reader.connections = [Connection(port) for port in twins.ports]
    for connection in reader.connections:
        connection.call("HELLO", 3)
    reader("CLIENT", "TRACKING", "ON")
    for change in ("SET k w", "DEL k", "EXPIRE k 100", "APPEND k x", "FLUSHALL", "GETDEL k", "MSET k 1 other 2", "SETRANGE k 3 x", "RENAME k l", "MOVE k 1", "BITOP NOT k k"):
        twins("SET", "k", "v")
        reader("GET", "k")
        twins(*words(change))
        assert reader.read(f"what {change} invalidates")[0] == ">"


def test_a_key_expires(twins):
    for line in ("SET k v PX 30", "PSETEX l 30 v", "SET m v", "PEXPIRE m 30"):
        twins(*words(line))
    faha = twins.connections[1]
    wait_for(lambda: faha.call("MGET", "k", "l", "m")[1] == [("$", None)] * 3, what="three keys to expire")
    wait_for(lambda: twins.connections[0].call("EXISTS", "k", "l", "m") == (":", 0))
    for line in ("EXISTS k l m", "TTL k", "TYPE l", "INCR k", "TTL k", "SETNX l w", "SET m x XX", "DBSIZE"):
        twins(*words(line))


def test_a_unit_sees_one_time(twins):
    """A key that expires while a script runs is there to its end, or never was."""
    script = (
        "redis.call('SET', 'k', 'v', 'PX', 20) local t = redis.call('TIME') local start = t[1] * 1000000 + t[2] "
        "repeat t = redis.call('TIME') until t[1] * 1000000 + t[2] - start > 60000 or redis.call('EXISTS', 'k') == 0 "
        "return redis.call('EXISTS', 'k')"
    )
    assert twins("EVAL", script, 0) == (":", 1)


HARMLESS = {"spublish", "ssubscribe", "sunsubscribe", "wait", "watch", "eval", "evalsha", "eval_ro", "evalsha_ro", "fcall", "fcall_ro"}


def with_keys(stock):
    """Every command of stock Redis that names keys or looks at the keyspace, with arguments enough."""
    for entry in Connection(stock.port).call("COMMAND")[1]:
        subcommands = entry[1][9][1]
        entries = [sub[1] for sub in subcommands or []] or [entry[1]]
        for each in entries:
            name, arity, flags, first, categories = (each[i][1] for i in (0, 1, 2, 3, 6))
            names_keys = first != 0 or ("+", "movablekeys") in flags or ("+", "@keyspace") in categories
            if names_keys and not name.endswith("|help") and name not in HARMLESS and name not in served():
                yield name.split("|") + ["1"] * (abs(arity) - 1 - name.count("|"))


def test_every_other_command_with_keys_is_refused(servers, twins):
    stock, faha = servers
    connection = twins.connections[1]
    connection.call("SET", "1", "a string")
    commands = list(with_keys(stock))
    assert len(commands) > 110
    for args in commands:
        kind, text = connection.call(*args)
        assert kind == "-" and text.startswith("UNSUPPORTED "), f"{args}: {text}"
        assert args[0] in text and len(text) < 250, text
        connection.call("MULTI")
        assert connection.call(*args) == ("+", "QUEUED"), args
        (reply,) = connection.call("EXEC")[1]
        assert reply[0] == "-" and reply[1].startswith("UNSUPPORTED "), f"{args} in MULTI: {reply}"
        quoted = ",".join(f'"{arg}"' for arg in args)
        reply = connection.call("EVAL", f"return redis.pcall({quoted})", 0)
        assert reply[0] == "-" and reply[1].startswith(("UNSUPPORTED ", "ERR This Redis command is not allowed")), (
            f"{args} in Lua: {reply}"
        )
        assert_nothing_native(faha)
    for args, family in ((["LPUSH", "l", "1"], "lists"), (["BLPOP", "l", "0"], "lists"), (["HSET", "h", "f", "v"], "hashes"), (["SADD", "s", "1"], "sets"),
                         (["ZADD", "z", "1", "m"], "sorted sets"), (["XADD", "x", "*", "f", "v"], "streams"), (["XGROUP", "CREATE", "x", "g", "$"], "streams"),
                         (["GEOADD", "g", "1", "1", "m"], "geo sets")):  # fmt: skip
        assert f" works on {family}: FaHA does not serve it yet" in connection.call(*args)[1]
    for args in (["lPuSh", "l", "1"], ["SWAPDB", "0", "1"], ["DEBUG", "POPULATE", "10"], ["debug", "reload"]):
        reply = connection.call(*args)
        assert reply[1].startswith("UNSUPPORTED "), f"{args}: {reply}"
    assert connection.call("GET", "1") == ("$", "a string")


def test_commands_without_keys_work(twins):
    for line in ("PING", "ECHO x", "PUBLISH c m", "SCRIPT EXISTS abc", "OBJECT HELP", "CLIENT GETNAME", "WAIT 0 0"):
        twins(*words(line))


def test_keys_match_patterns_as_redis_matches_them(twins):
    """Patterns that are odd in every way, on keys of the same few bytes."""
    choices = random.Random(SEED)
    alphabet = ["a", "b", "c", "]", "[", "^", "-", "\\", "*", "?", "\xff"]
    for _ in range(300):
        twins("SET", "".join(choices.choices(alphabet, k=choices.randrange(5))).encode("latin-1"), "v")
    for _ in range(2000):
        pattern = "".join(choices.choices(alphabet + ["*", "[", "]", "a-c"], k=choices.randrange(9))).encode("latin-1")
        for connection in twins.connections:
            connection.send("KEYS", pattern)
        stock, faha = (sorted(connection.read()[1]) for connection in twins.connections)
        assert stock == faha, pattern


def test_scan_tells_every_key_that_stays(servers):
    """Whatever comes and goes meanwhile: the table grows many times over and shrinks again."""
    client, choices = servers[1].client(), random.Random(SEED)
    client.flushall()
    stay = {f"stay:{i}" for i in range(500)}
    client.mset(dict.fromkeys(stay, "v"))
    other = client.connection_pool.make_connection()  # another database's keys are not told
    other.send_command("SELECT", 5)
    other.read_response()
    other.send_command("SET", "elsewhere", "v")
    other.read_response()
    other.disconnect()
    for grows in (True, False, True, False):
        cursor, told, i = 0, set(), 0
        while True:
            cursor, keys = client.scan(cursor, count=choices.randrange(1, 60))
            told.update(keys)
            if i < 100_000:  # more would outrun the scan
                names = [f"goes:{j}" for j in range(i, i + 500)]
                client.mset(dict.fromkeys(names, "v")) if grows else client.delete(*names)
                i += 500
            if cursor == 0:
                break
        assert stay <= told and "elsewhere" not in told
        assert all(key.startswith(("stay:", "goes:")) for key in told)
    assert sorted(client.scan_iter(match="stay:1?")) == sorted(f"stay:1{i}" for i in range(10))
    assert set(client.keys("stay:*")) == stay
    client.delete(*[f"goes:{i}" for i in range(100_000)])


def test_random_keys_are_found_in_a_small_database_beside_a_large_one(servers):
    client = servers[1].client()
    client.flushall()
    for i in range(0, 200_000, 1000):
        client.mset({f"k{j}": "v" for j in range(i, i + 1000)})
    small = {"a", "b", "c"}
    with client.client() as one:
        one.execute_command("SELECT", 1)
        for key in small:
            one.set(key, "v")
        assert {one.randomkey() for _ in range(30)} <= small
        one.set("a", "v", px=1)
        one.delete("b", "c")
        wait_for(lambda: one.randomkey() is None, what="the last key to expire")
        one.execute_command("SELECT", 0)
        assert len({one.randomkey() for _ in range(200)}) > 150
