"""Sorted sets answer, and tell subscribers, as those of stock Redis."""

import random

import pytest

from resp import Connection
from twins import try_arities, words

MAX, MIN = 2**63 - 1, -(2**63)
SINGLE_LINES = f"""
ZADD z 1 a|ZADD z 1 a|ZADD z 2 a 3 b|ZADD z 1 c 2 c 3 c|ZCARD z|ZSCORE z c|ZADD z CH 5 a 6 new|ZADD z ch 5 a|ZADD z NX 9 a 9 d|ZSCORE z a
ZADD z XX 9 a 9 e|ZSCORE z a|ZSCORE z e|ZADD z XX CH 10 a 9 e|ZADD none XX 1 a|ZADD none XX INCR 1 a|EXISTS none|ZADD none XX CH 1 a
ZADD z GT 1 a|ZSCORE z a|ZADD z GT CH 100 a|ZADD z LT 200 a|ZADD z LT CH 50 a|ZADD z GT 1 g|ZADD z LT 1 l|ZADD z GT XX CH 70 a|ZADD z LT XX 1 none
ZADD z INCR 5 a|ZADD z INCR -2.5 a|ZADD z INCR 1 fresh|ZADD z NX INCR 1 a|ZADD z NX INCR 1 fresher|ZADD z XX INCR 1 nobody|ZADD z XX INCR 1 a
ZADD z GT INCR -1 a|ZADD z GT INCR 1 a|ZADD z LT INCR 1 a|ZADD z LT INCR -1 a|ZADD z INCR 0 a|ZADD z GT INCR 0 a|ZADD z CH INCR 1 a
ZADD z NX XX 1 a|ZADD z NX GT 1 a|ZADD z NX LT 1 a|ZADD z GT LT 1 a|ZADD z NX XX GT LT 1 a|ZADD z INCR 1 a 2 b|ZADD z NX XX INCR 1 a 2 b
ZADD z|ZADD z 1|ZADD z NX 1|ZADD z NX XX|ZADD z 1 a 2|ZADD z NX|ZADD z 1 a nx|ZADD z 1 a NX 2|ZADD z x a|ZADD z 1 a x b|ZADD z nan a|ZADD z '' a
ZADD z ' 1' a|ZADD z '1 ' a|ZADD z +1 a|ZADD z 0x10 a|ZSCORE z a|ZADD z 1e400 a|ZADD z -1e400 a|ZADD z 1e-400 a|ZADD z 1e308 a|ZSCORE z a|ZADD z 5e-324 tiny
ZADD z inf a|ZSCORE z a|ZADD z INCR -inf a|ZINCRBY z -inf a|ZADD z -inf b|ZADD z +inf c|ZADD z Infinity d|ZADD z -INFINITY e|ZINCRBY z inf b|ZINCRBY z inf a
ZADD z -0 zero|ZSCORE z zero|ZADD z 0 zero|ZADD z CH -0 zero|ZSCORE z zero|ZINCRBY z -0 zero|ZINCRBY none2 -0 m|ZSCORE none2 m|ZADD none3 INCR -0 m
ZADD z 0.1 tenth 3.0000000000000004 pi 1e20 big 9007199254740993 odd {MAX} max {MIN} min 123456789012345678 long 1.7976931348623157e308 most|ZRANGE z 0 -1 WITHSCORES
ZADD z 1 '' 2 ' '|ZSCORE z ''|ZREM z ''|ZADD '' 1 m|ZCARD ''|ZREM '' m|ZADD s 1 a|ZADD s x a|ZADD s 1|ZADD s NX XX 1 a|ZADD h XX 1 a
ZINCRBY z 1 a|ZINCRBY z 1.5 tenth|ZINCRBY z x a|ZINCRBY z nan a|ZINCRBY z '' a|ZINCRBY new 3 m|ZINCRBY s 1 a|ZINCRBY s x a|ZINCRBY z nx m|ZINCRBY z nx xx
ZINCRBY z 1|ZINCRBY z 1 a b|ZINCRBY z 1e308 most|ZINCRBY z 1e308 most|ZSCORE z most
ZREM z none|ZREM none a|ZREM z a a b none|ZREM new m m x|EXISTS new|ZREM s a|ZREM z|ZREM h f
ZCARD z|ZCARD none|ZCARD s|ZSCORE z none|ZSCORE none a|ZSCORE s a|ZMSCORE z c none c '' d|ZMSCORE none a b|ZMSCORE s a|ZMSCORE z
DEL z|ZADD z 1 a 2 b 3 c 2 bb|ZRANK z a|ZRANK z bb|ZRANK z c|ZRANK z none|ZRANK none a|ZRANK s a|ZREVRANK z a|ZREVRANK z c|ZREVRANK z none
ZREVRANK none a|ZREVRANK s a|ZRANK z a WITHSCORE|ZREVRANK z
ZPOPMIN none|ZPOPMIN none 3|ZPOPMIN none 0|ZPOPMIN none x|ZPOPMIN z 0|ZPOPMAX z 0|ZPOPMIN z -1|ZPOPMIN z x|ZPOPMIN z {MIN}|ZPOPMIN z {MAX}0|ZPOPMIN z 1 2
ZPOPMIN s|ZPOPMIN s 0|ZPOPMIN s x|ZPOPMAX s 1|ZPOPMIN z|ZPOPMAX z|ZPOPMAX z 1|ZPOPMIN z 5|EXISTS z|ZADD z 1 a 2 b inf c|ZPOPMAX z {MAX}|EXISTS z
ZADD z 1 only|ZPOPMIN z 1|EXISTS z|ZADD z 1 only|ZPOPMAX z|EXISTS z
ZADD z 1 a 2 b 3 c 4 d|ZMPOP 1 z MIN|ZMPOP 2 none z MAX|ZMPOP 2 none z min COUNT 1|ZMPOP 1 none MIN|ZMPOP 2 none nope MAX COUNT 4|ZMPOP 1 z MAX COUNT 100
ZADD z 1 a 2 b|ZMPOP 1 s MIN|ZMPOP 2 none s MIN|ZMPOP 2 z s MIN|ZMPOP 2 s z MIN|ZMPOP 0 z MIN|ZMPOP -1 z MIN|ZMPOP x z MIN|ZMPOP 1.5 z MIN|ZMPOP {MAX}0 z MIN
ZMPOP 1 z MID|ZMPOP 1 z|ZMPOP 2 z MIN|ZMPOP 3 z MIN x|ZMPOP 1 z MIN COUNT|ZMPOP 1 z MIN COUNT 0|ZMPOP 1 z MIN COUNT -1|ZMPOP 1 z MIN COUNT x|ZMPOP 1 z MIN x
ZMPOP 1 z MIN COUNT 1 COUNT 1|ZMPOP 1 z MIN COUNT 1 x|ZMPOP 1 s MIN COUNT 0|ZMPOP 1 s MID|ZMPOP 1000 z MIN|ZMPOP 1 z MIN COUNT {MAX}
ZADD one 1 m|ZRANDMEMBER none|ZRANDMEMBER none 3|ZRANDMEMBER none -3 WITHSCORES|ZRANDMEMBER one|ZRANDMEMBER one 0|ZRANDMEMBER one 0 WITHSCORES|ZRANDMEMBER one 1
ZRANDMEMBER one 5 WITHSCORES|ZRANDMEMBER one -3|ZRANDMEMBER one -2 WITHSCORES|ZRANDMEMBER one x|ZRANDMEMBER one x y z|ZRANDMEMBER one 1 SCORES|ZRANDMEMBER one 1 WITHSCORES x
ZRANDMEMBER one {MIN}|ZRANDMEMBER one {MAX}|ZRANDMEMBER one {MAX} WITHSCORES|ZRANDMEMBER one -{MAX} WITHSCORES|ZRANDMEMBER one {MAX // 2} WITHSCORES|ZRANDMEMBER one {MAX // 2 + 1} WITHSCORES
ZRANDMEMBER s|ZRANDMEMBER s 3|ZRANDMEMBER s x|ZRANDMEMBER one 1.5|ZADD three 1 a 2 b 3 c|ZRANDMEMBER three 3|ZRANDMEMBER three 100 withscores
ZADD z 1.5 a inf b -inf c 0 d 1e30 e|ZSCAN z 0|ZSCAN z 0 MATCH [ab] COUNT 100|ZSCAN z 0 COUNT 0|ZSCAN z 0 COUNT x|ZSCAN z 0 COUNT|ZSCAN z 0 TYPE zset|ZSCAN z x
ZSCAN none x|ZSCAN none 0|ZSCAN none 0 nonsense|ZSCAN s 0|ZSCAN s x|ZSCAN s 0 nonsense|ZSCAN z|ZSCAN z 0 NOSCORES
EXPIRE z 1000|ZADD z 3 x|TTL z|ZINCRBY z 1 x|TTL z|ZREM z x|TTL z|ZPOPMIN z|TTL z|ZREMRANGEBYRANK z 0 0|TTL z|ZPOPMIN z 100|TTL z|TYPE z|ZADD z 1 a|TYPE z|TTL z
"""
RANGE_LINES = f"""
ZADD z 1 a 2 b 3 c 4 d 5 e -inf low inf high|ZRANGE z 0 -1|ZRANGE z 0 -1 WITHSCORES|ZRANGE z 0 -1 REV|ZRANGE z 1 3 REV WITHSCORES|ZRANGE z -2 -1|ZRANGE z 5 2|ZRANGE z 100 200
ZRANGE z -100 1|ZRANGE z -1 -100|ZRANGE z 0 {MAX}|ZRANGE z {MIN} {MAX}|ZRANGE z {MAX} {MIN}|ZRANGE z x 1|ZRANGE z 1 x|ZRANGE z 1.5 2|ZRANGE z {MAX}0 1|ZRANGE z '' 1
ZRANGE none 0 -1|ZRANGE none x 1|ZRANGE s 0 -1|ZRANGE s x 1|ZRANGE s 0 -1 x|ZRANGE z 0|ZRANGE z|ZRANGE z 0 -1 LIMIT 0 1|ZRANGE z 0 -1 LIMIT 0 -1|ZRANGE z 0 -1 LIMIT 5 -1
ZRANGE z 0 -1 LIMIT 0|ZRANGE z 0 -1 LIMIT x 1|ZRANGE z 0 -1 LIMIT 1 x|ZRANGE z 0 -1 LIMIT 0 -2|ZRANGE z 0 -1 BYSCORE BYLEX|ZRANGE z 0 -1 REV REV|ZRANGE z 0 -1 WITHSCORES WITHSCORES
ZRANGE z 1 3 BYSCORE|ZRANGE z 1 3 BYSCORE WITHSCORES|ZRANGE z (1 (4 BYSCORE|ZRANGE z 3 1 BYSCORE REV|ZRANGE z 1 3 BYSCORE REV|ZRANGE z -inf +inf BYSCORE|ZRANGE z (-inf (inf BYSCORE
ZRANGE z inf -inf BYSCORE REV WITHSCORES|ZRANGE z 3 1 BYSCORE|ZRANGE z 2 2 BYSCORE|ZRANGE z (2 2 BYSCORE|ZRANGE z 2 (2 BYSCORE|ZRANGE z (2 (2 BYSCORE|ZRANGE z 2.5 3.5 BYSCORE
ZRANGE z -inf inf BYSCORE LIMIT 1 2|ZRANGE z -inf inf BYSCORE LIMIT 0 0|ZRANGE z -inf inf BYSCORE LIMIT 2 -1|ZRANGE z -inf inf BYSCORE LIMIT 2 -5|ZRANGE z -inf inf BYSCORE LIMIT -1 2
ZRANGE z -inf inf BYSCORE LIMIT 100 2|ZRANGE z inf -inf BYSCORE REV LIMIT 1 2 WITHSCORES|ZRANGE z inf -inf BYSCORE REV LIMIT 100 2|ZRANGE z -inf inf BYSCORE LIMIT {MAX} {MAX}
ZRANGE z -inf inf BYSCORE LIMIT 6 {MAX}|ZRANGE z -inf inf BYSCORE LIMIT 0 1 LIMIT 1 1|ZRANGE z inf -inf REV BYSCORE LIMIT -1 5|ZRANGE z x 1 BYSCORE|ZRANGE z 1 x BYSCORE|ZRANGE z nan 1 BYSCORE
ZRANGE z '' 3 BYSCORE|ZRANGE z ( 3 BYSCORE|ZRANGE z ' 1' 3 BYSCORE|ZRANGE z '1 ' 3 BYSCORE|ZRANGE z 0x1 0x3 BYSCORE|ZRANGE z [1 3 BYSCORE|ZRANGE z -1e400 1e400 BYSCORE|ZRANGE z ((1 3 BYSCORE
ZADD l 0 a 0 b 0 c 0 d 0 e 0 '' 0 ab 0 B|ZRANGE l - + BYLEX|ZRANGE l [a [c BYLEX|ZRANGE l (a (c BYLEX|ZRANGE l [a + BYLEX|ZRANGE l - (b BYLEX|ZRANGE l + - BYLEX|ZRANGE l - - BYLEX
ZRANGE l + + BYLEX|ZRANGE l + - BYLEX REV|ZRANGE l [c [a BYLEX REV|ZRANGE l (c (a BYLEX REV|ZRANGE l [a [c BYLEX REV|ZRANGE l [c [a BYLEX|ZRANGE l [ + BYLEX|ZRANGE l ( + BYLEX|ZRANGE l - [ BYLEX
ZRANGE l - ( BYLEX|ZRANGE l [b [b BYLEX|ZRANGE l (b [b BYLEX|ZRANGE l [zz [zzz BYLEX|ZRANGE l - + BYLEX LIMIT 1 2|ZRANGE l + - BYLEX REV LIMIT 1 2|ZRANGE l - + BYLEX LIMIT -1 2
ZRANGE l - + BYLEX LIMIT 100 2|ZRANGE l - + BYLEX LIMIT 0 0|ZRANGE l - + BYLEX WITHSCORES|ZRANGE l a c BYLEX|ZRANGE l -a + BYLEX|ZRANGE l - +b BYLEX|ZRANGE l '' + BYLEX|ZRANGE l 1 2 BYLEX
ZRANGE none - + BYLEX|ZRANGE none a + BYLEX|ZRANGE s - + BYLEX|ZRANGE s a + BYLEX|ZRANGE l - + BYLEX LIMIT 0 x WITHSCORES
ZRANGEBYSCORE z 1 3|ZRANGEBYSCORE z (1 3 WITHSCORES|ZRANGEBYSCORE z 1 5 LIMIT 1 2|ZRANGEBYSCORE z 1 5 LIMIT 1 2 WITHSCORES|ZRANGEBYSCORE z 1 5 REV|ZRANGEBYSCORE z 1 5 BYSCORE|ZRANGEBYSCORE z x 5
ZRANGEBYSCORE none 1 5|ZRANGEBYSCORE none x 5|ZRANGEBYSCORE s 1 5|ZRANGEBYSCORE s x 5|ZRANGEBYSCORE z 1|ZRANGEBYSCORE z 1 5 LIMIT 1|ZRANGEBYSCORE z 1 5 LIMIT|ZRANGEBYSCORE z 1 5 x
ZREVRANGEBYSCORE z 3 1|ZREVRANGEBYSCORE z (3 1 WITHSCORES|ZREVRANGEBYSCORE z inf -inf LIMIT 1 2|ZREVRANGEBYSCORE z 1 3|ZREVRANGEBYSCORE z 3 x|ZREVRANGEBYSCORE none 1 5|ZREVRANGEBYSCORE s 1 5
ZREVRANGEBYSCORE z 5 1 REV|ZREVRANGE z 0 -1|ZREVRANGE z 0 1 WITHSCORES|ZREVRANGE z -2 -1|ZREVRANGE z 0 1 LIMIT 0 1|ZREVRANGE z 0 1 BYSCORE|ZREVRANGE z 0 1 REV|ZREVRANGE z x 1|ZREVRANGE none 0 1
ZREVRANGE s 0 1|ZREVRANGE z 5 100|ZRANGEBYLEX l - +|ZRANGEBYLEX l [a (c|ZRANGEBYLEX l - + LIMIT 2 2|ZRANGEBYLEX l - + WITHSCORES|ZRANGEBYLEX l a c|ZRANGEBYLEX none - +|ZRANGEBYLEX s - +|ZRANGEBYLEX s a b
ZREVRANGEBYLEX l + -|ZREVRANGEBYLEX l (c [a|ZREVRANGEBYLEX l + - LIMIT 2 2|ZREVRANGEBYLEX l - +|ZREVRANGEBYLEX l a c|ZREVRANGEBYLEX none + -|ZREVRANGEBYLEX s + -
ZCOUNT z 1 3|ZCOUNT z (1 (3|ZCOUNT z -inf inf|ZCOUNT z 3 1|ZCOUNT z (2 2|ZCOUNT z x 1|ZCOUNT none 1 3|ZCOUNT none x 3|ZCOUNT s 1 3|ZCOUNT s x 3|ZCOUNT z 1|ZCOUNT z 1 2 3|ZCOUNT z '' ''
ZLEXCOUNT l - +|ZLEXCOUNT l [a [c|ZLEXCOUNT l (a (c|ZLEXCOUNT l + -|ZLEXCOUNT l a c|ZLEXCOUNT none - +|ZLEXCOUNT none a +|ZLEXCOUNT s - +|ZLEXCOUNT s a +|ZLEXCOUNT l -
ZRANGESTORE d z 1 3|ZRANGE d 0 -1 WITHSCORES|ZRANGESTORE d z 0 1 REV|ZRANGE d 0 -1 WITHSCORES|ZRANGESTORE d z (1 4 BYSCORE LIMIT 1 5|ZRANGE d 0 -1 WITHSCORES|ZRANGESTORE d z 4 1 BYSCORE REV LIMIT 0 2
ZRANGE d 0 -1 WITHSCORES|ZRANGESTORE d l [a [c BYLEX|ZRANGE d 0 -1 WITHSCORES|ZRANGESTORE d l [c [a BYLEX REV|ZRANGE d 0 -1|ZRANGESTORE d z 5 2|EXISTS d|ZRANGESTORE d z 5 2|ZRANGESTORE d none 0 -1
ZRANGESTORE d z 0 0|EXPIRE d 1000|ZRANGESTORE d z 0 1|TTL d|ZRANGESTORE d none 0 -1|EXISTS d|ZRANGESTORE d s 0 -1|ZRANGESTORE d none x 1|ZRANGESTORE d z 0 -1 WITHSCORES|ZRANGESTORE d z 0 -1 LIMIT 0 1
ZRANGESTORE d l - + BYLEX WITHSCORES|ZRANGESTORE d z 0|ZRANGESTORE d z 0 1 x|SET str v|ZRANGESTORE str z 0 1|TYPE str|SET str v|ZRANGESTORE str none 0 1|EXISTS str|SET str v|ZRANGESTORE str s 0 1|GET str|DEL str
ZRANGESTORE z z 1 -2|ZRANGE z 0 -1 WITHSCORES|ZRANGESTORE z z 1 -2 REV|ZRANGE z 0 -1|DEL z
ZADD z 1 a 2 b 3 c 4 d 5 e|ZREMRANGEBYRANK z 10 20|ZREMRANGEBYRANK z 3 1|ZREMRANGEBYRANK z x 1|ZREMRANGEBYRANK z 1 x|ZREMRANGEBYRANK none 0 1|ZREMRANGEBYRANK none x 1|ZREMRANGEBYRANK s 0 1
ZREMRANGEBYRANK s x 1|ZREMRANGEBYRANK z 0 0|ZREMRANGEBYRANK z -1 -1|ZRANGE z 0 -1|ZREMRANGEBYRANK z {MIN} {MAX}|EXISTS z|ZREMRANGEBYRANK z 0|ZADD z 1 a 2 b 3 c 4 d 5 e
ZREMRANGEBYSCORE z (1 2|ZREMRANGEBYSCORE z 9 10|ZREMRANGEBYSCORE z x 2|ZREMRANGEBYSCORE none 1 2|ZREMRANGEBYSCORE none x 2|ZREMRANGEBYSCORE s 1 2|ZREMRANGEBYSCORE s x 2|ZREMRANGEBYSCORE z 3 1
ZRANGE z 0 -1|ZREMRANGEBYSCORE z -inf inf|EXISTS z|ZREMRANGEBYLEX l [a (b|ZREMRANGEBYLEX l a b|ZREMRANGEBYLEX none - +|ZREMRANGEBYLEX none a +|ZREMRANGEBYLEX s - +|ZREMRANGEBYLEX s a +
ZREMRANGEBYLEX l + -|ZRANGE l 0 -1|ZREMRANGEBYLEX l - +|EXISTS l|ZREMRANGEBYLEX l - + x
"""
ALGEBRA_LINES = f"""
ZADD a 1 x 2 y 3 z inf i -inf j|ZADD b 10 y 20 z 30 w -inf i inf j|ZADD c 100 z|SADD p y z 5
ZUNION 1 a|ZUNION 2 a b|ZUNION 2 a b WITHSCORES|ZUNION 3 a b c WITHSCORES|ZUNION 2 a none WITHSCORES|ZUNION 1 none|ZUNION 2 a p WITHSCORES|ZUNION 1 p WITHSCORES|ZUNION 2 a a WITHSCORES
ZUNION 2 a b WEIGHTS 2 3 WITHSCORES|ZUNION 2 a b WITHSCORES WEIGHTS 2 3|ZUNION 2 a b AGGREGATE MIN WITHSCORES|ZUNION 2 a b AGGREGATE max WITHSCORES|ZUNION 2 a b AGGREGATE SUM WEIGHTS -1 0.5 WITHSCORES
ZUNION 2 a b WEIGHTS 0 0 WITHSCORES|ZUNION 2 a b WEIGHTS inf -inf WITHSCORES|ZUNION 2 a p WEIGHTS 1 7 WITHSCORES|ZUNION 2 a b WEIGHTS 1|ZUNION 2 a b WEIGHTS 1 x|ZUNION 2 a b WEIGHTS 1 nan|ZUNION 2 a b WEIGHTS
ZUNION 2 a b WEIGHTS 1 2 3|ZUNION 2 a b WEIGHTS 1 2 WEIGHTS 3 4 WITHSCORES|ZUNION 2 a b AGGREGATE|ZUNION 2 a b AGGREGATE AVG|ZUNION 2 a b LIMIT 1|ZUNION 2 a b x|ZUNION 0 a|ZUNION -1 a|ZUNION x a|ZUNION 1.5 a
ZUNION 3 a b|ZUNION {MAX} a|ZUNION {MAX}0 a|ZUNION 1 s|ZUNION 2 s a x|ZUNION 2 none s WEIGHTS x|ZUNION 1 a WITHSCORES WITHSCORES|ZUNION 1|ZUNION 1 a b|ZUNION 3 none nope nix WITHSCORES
ZINTER 1 a|ZINTER 2 a b|ZINTER 2 a b WITHSCORES|ZINTER 3 a b c WITHSCORES|ZINTER 3 a b p WITHSCORES|ZINTER 2 a none|ZINTER 1 p WITHSCORES|ZINTER 2 a a WITHSCORES|ZINTER 2 a b WEIGHTS 2 3 WITHSCORES
ZINTER 2 a b AGGREGATE MIN WITHSCORES|ZINTER 2 a b AGGREGATE MAX WITHSCORES|ZINTER 2 a b WEIGHTS 0 0 WITHSCORES|ZINTER 2 a b WEIGHTS 1 0 WITHSCORES|ZINTER 2 a b WEIGHTS 0 1 WITHSCORES AGGREGATE MIN
ZINTER 2 a b WEIGHTS 0 1 WITHSCORES AGGREGATE MAX|ZINTER 2 a b WEIGHTS inf inf WITHSCORES|ZINTER 2 a b WEIGHTS 1|ZINTER 2 a b WEIGHTS 1 x|ZINTER 2 a b AGGREGATE x|ZINTER 0 a|ZINTER x a|ZINTER 9 a|ZINTER 2 a s|ZINTER 2 none s|ZINTER 2 s none x
ZDIFF 1 a|ZDIFF 2 a b|ZDIFF 2 a b WITHSCORES|ZDIFF 3 a b c WITHSCORES|ZDIFF 2 a p WITHSCORES|ZDIFF 2 p a WITHSCORES|ZDIFF 2 a none WITHSCORES|ZDIFF 2 none a|ZDIFF 2 a a|ZDIFF 1 p WITHSCORES|ZDIFF 2 a b WEIGHTS 1 2
ZDIFF 2 a b AGGREGATE MIN|ZDIFF 2 a s|ZDIFF 2 none s|ZDIFF 0 a|ZDIFF x a|ZDIFF 9 a|ZDIFF 2 a b x|ZDIFF 4 a none nope b WITHSCORES|ZDIFF 3 c a b
ZINTERCARD 1 a|ZINTERCARD 2 a b|ZINTERCARD 2 a b LIMIT 1|ZINTERCARD 2 a b LIMIT 0|ZINTERCARD 2 a b LIMIT 100|ZINTERCARD 2 a b LIMIT -1|ZINTERCARD 2 a b LIMIT x|ZINTERCARD 2 a b LIMIT|ZINTERCARD 2 a b LIMIT 1 LIMIT 2
ZINTERCARD 2 a b WITHSCORES|ZINTERCARD 2 a b WEIGHTS 1 2|ZINTERCARD 2 a b AGGREGATE MIN|ZINTERCARD 2 a none|ZINTERCARD 2 a p|ZINTERCARD 2 a s|ZINTERCARD 0 a|ZINTERCARD x a|ZINTERCARD 5 a|ZINTERCARD 1
ZUNIONSTORE d 2 a b|ZRANGE d 0 -1 WITHSCORES|ZUNIONSTORE d 2 a p WEIGHTS 2 3 AGGREGATE MAX|ZRANGE d 0 -1 WITHSCORES|ZUNIONSTORE d 1 a WEIGHTS 0|ZRANGE d 0 -1 WITHSCORES|ZUNIONSTORE d 1 none|EXISTS d|ZUNIONSTORE d 1 none
ZUNIONSTORE d 2 a b WEIGHTS -0 -0|ZRANGE d 0 -1 WITHSCORES|ZUNIONSTORE d 2 a b WITHSCORES|ZUNIONSTORE d 2 a s|ZUNIONSTORE d 2 none s x|ZUNIONSTORE d 0 a|ZUNIONSTORE d x a|ZUNIONSTORE d 3 a b|ZUNIONSTORE d 2 a b WEIGHTS 1|ZUNIONSTORE d 1
ZINTERSTORE d 2 a b|ZRANGE d 0 -1 WITHSCORES|ZINTERSTORE d 2 a none|EXISTS d|ZINTERSTORE d 2 a none|ZINTERSTORE d 2 a p AGGREGATE MIN|ZRANGE d 0 -1 WITHSCORES|ZINTERSTORE d 2 s a|ZINTERSTORE d 0 a|ZINTERSTORE d 2 a b LIMIT 1
ZDIFFSTORE d 2 a b|ZRANGE d 0 -1 WITHSCORES|ZDIFFSTORE d 2 a a|EXISTS d|ZDIFFSTORE d 2 p c|ZRANGE d 0 -1 WITHSCORES|ZDIFFSTORE d 2 a s|ZDIFFSTORE d 0 a|ZDIFFSTORE d 2 a b WEIGHTS 1 2|ZDIFFSTORE d 2 a b WITHSCORES|ZDIFFSTORE d x a
EXPIRE d 1000|ZUNIONSTORE d 2 a d|TTL d|SET str v|ZUNIONSTORE str 1 a|TYPE str|SET str v|ZINTERSTORE str 1 none|EXISTS str|SET str v|ZDIFFSTORE str 1 str|GET str|DEL str|ZUNIONSTORE a 2 a b|ZRANGE a 0 -1 WITHSCORES
ZINTERSTORE a 2 a b|ZRANGE a 0 -1 WITHSCORES|ZDIFFSTORE a 2 a a|EXISTS a|ZUNIONSTORE p 1 p|TYPE p|ZRANGE p 0 -1 WITHSCORES
"""
TABLES = {"single": SINGLE_LINES, "ranges": RANGE_LINES, "algebra": ALGEBRA_LINES}
# By chance, unless all members are wanted: then the order is not defined.
UNORDERED = {"ZRANDMEMBER", "ZSCAN"}


def lines_of(table):
    return [line for line in table.replace("\n", "|").split("|") if line.strip()]


def plain(reply, args):
    """The reply with its elements in an order of their own."""
    kind, value = reply
    if kind != "*" or not value:
        return reply
    if args[0] == "ZSCAN":
        return kind, value[0], sorted(zip(value[1][1][::2], value[1][1][1::2]), key=str)
    if value[0][0] == "$" and args[-1].upper() == "WITHSCORES":
        return kind, sorted(zip(value[::2], value[1::2]), key=str)
    return kind, sorted(value, key=str)


def same(twins, args):
    if args[0] not in UNORDERED:
        return twins(*args)
    for connection in twins.connections:
        connection.send(*args)
    stock, faha = (plain(connection.read(), args) for connection in twins.connections)
    assert stock == faha, f"{args}\nstock: {str(stock)[:500]}\nFaHA:  {str(faha)[:500]}"
    return faha


def prepare(twins, protocol):
    for connection in twins.connections:
        connection.call("HELLO", protocol)
    twins("FLUSHALL")
    # Of other types.
    twins("SET", "s", "v")
    twins("HSET", "h", "f", "v")


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("table", TABLES)
def test_calls(twins, table, protocol):
    prepare(twins, protocol)
    for line in lines_of(TABLES[table]):
        same(twins, words(line))


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("table", TABLES)
def test_calls_in_scripts_and_transactions(twins, table, protocol):
    prepare(twins, protocol)
    script = "local r = redis.pcall(unpack(ARGV)) if type(r) == 'table' and r.err then return {'error', r.err} end return r"
    for line in lines_of(TABLES[table]):
        args = words(line)
        if args[0] in UNORDERED:
            continue
        twins("EVAL", script, 0, *args)
        twins("MULTI")
        twins(*args)
        twins("ZCARD", "z")
        twins("EXEC")


def test_replies_within_scripts_of_either_protocol(twins):
    for setting in (2, 3):
        for line in ("DEL k", "ZADD k 1 a 2.5 b inf c", "ZSCORE k b", "ZADD k INCR 1 b", "ZRANGE k 0 -1 WITHSCORES", "ZMSCORE k a none",
                     "ZUNION 1 k WITHSCORES", "ZMPOP 1 k MIN", "ZMPOP 1 none MIN", "ZPOPMIN k 1", "ZPOPMAX k", "ZSCORE k a"):  # fmt: skip
            body = f"redis.setresp({setting}) local r = redis.call(unpack(ARGV)) return r"
            twins("EVAL", body, 0, *words(line))


COMMANDS = """zadd zincrby zrem zcard zscore zmscore zrank zrevrank zcount zlexcount zrange zrangestore zrangebyscore zrevrangebyscore
zrevrange zrangebylex zrevrangebylex zremrangebyrank zremrangebyscore zremrangebylex zpopmin zpopmax zmpop zrandmember zscan zunion zinter
zdiff zintercard zunionstore zinterstore zdiffstore""".split()


@pytest.mark.parametrize("command", COMMANDS)
def test_arity_and_wrong_types(twins, command):
    twins("SET", "string", "v")
    try_arities(twins, command)


def test_what_redis_knows_of_the_commands(servers, twins):
    for command in COMMANDS:
        stock, faha = (connection.call("COMMAND", "INFO", name)[1][0][1]
                       for connection, name in zip(twins.connections, (command, "faha." + command)))  # fmt: skip
        assert stock[1] == faha[1], f"arity of {command}"
        stock_flags, faha_flags = ({flag[1] for flag in entry[2][1]} - {"module", "movablekeys"} for entry in (stock, faha))
        assert stock_flags == faha_flags, command
    for line in ("ZUNION 2 a b WITHSCORES", "ZUNIONSTORE d 2 a b", "ZINTERCARD 1 a LIMIT 1", "ZMPOP 2 a b MIN", "ZRANGESTORE d s 0 1", "ZADD k 1 m",
                 "ZUNION 9 a", "ZDIFFSTORE d 9 a"):  # fmt: skip
        stock, faha = (connection.call("COMMAND", "GETKEYSANDFLAGS", *args)
                       for connection, args in zip(twins.connections, (words(line), words("faha." + line.lower()))))  # fmt: skip
        assert stock[0] == faha[0], line
        if stock[0] != "-":
            assert sorted(map(str, stock[1])) == sorted(map(str, faha[1])), line


EVENTS = """ZADD z 1 a|ZADD z 1 a|ZADD z 2 a 3 b|ZADD z NX 9 a|ZADD z XX 9 new|ZADD none XX 1 a|ZADD z INCR 1 a|ZINCRBY z 0 a|ZINCRBY new 1 a|ZADD s 1 a
ZREM z none|ZREM z a|ZREM z b|ZADD z 1 a 2 b 3 c 4 d 5 e 6 f|ZPOPMIN z|ZPOPMAX z 1|ZPOPMIN z 0|ZPOPMIN none|ZMPOP 2 none z MIN COUNT 2|ZREMRANGEBYRANK z 5 6
ZREMRANGEBYRANK z 0 0|ZREMRANGEBYSCORE z -inf inf|ZADD z 0 a 0 b|ZREMRANGEBYLEX z [x [y|ZREMRANGEBYLEX z - +|ZADD z 1 a|ZPOPMAX z 10|ZADD z 1 a 2 b
ZRANGESTORE d z 0 0|ZRANGESTORE d z 0 1|ZRANGESTORE d none 0 0|ZRANGESTORE d none 0 0|ZRANGESTORE d s 0 0|SET str v|ZRANGESTORE str z 0 0
ZUNIONSTORE d 2 z none|ZUNIONSTORE d 1 none|ZUNIONSTORE d 1 none|ZINTERSTORE d 1 z|ZINTERSTORE d 2 z none|ZDIFFSTORE d 1 z|ZDIFFSTORE d 2 z z|ZDIFFSTORE d 3 none s nope
ZCARD none|ZSCORE none a|ZMSCORE none a|ZRANK none a|ZRANGE none 0 -1|ZRANGE none x 1|ZCOUNT none 0 1|ZCOUNT none x 1|ZLEXCOUNT none - +|ZRANDMEMBER none|ZRANDMEMBER none 2
ZSCAN none 0|ZSCAN none x|ZUNION 2 none nope|ZUNION 3 none s nope|ZINTERCARD 2 none nope|ZINTER 2 none nope x|ZREM none a|ZINCRBY z x a
PEXPIRE z 200|ZADD z 5 again|PEXPIRE z 200|ZREM z again|ZADD z 1 a|PEXPIRE z 200|ZUNIONSTORE d 1 z|ZADD z 1 a|PEXPIRE z 200|ZRANGESTORE d z 0 -1|ZADD z 1 a|PEXPIRE z 200|ZPOPMIN z"""


def test_events(twins):
    listeners = twins.another()
    # With "new" and "keymiss", which KA leaves out.
    twins("CONFIG", "SET", "notify-keyspace-events", "KEAmn")
    listeners("PSUBSCRIBE", "__key*__:*")
    # Otherwise it is by chance whether a key expires by itself or because it is asked for.
    twins("DEBUG", "SET-ACTIVE-EXPIRE", 0)
    twins("SET", "s", "v")
    for line in lines_of(EVENTS):
        twins(*words(line))
        if line.startswith("PEXPIRE"):
            twins("DEBUG", "SLEEP", "0.25")
        twins("PUBLISH", "__keyspace@0__:", "end")
        while True:
            event = listeners.read(f"events of {line}")
            if event[1][-1] == ("$", b"end") or "end" in str(event[1][-1]):
                break
    twins("DEBUG", "SET-ACTIVE-EXPIRE", 1)
    twins("CONFIG", "SET", "notify-keyspace-events", "")


def test_binary_members_of_every_size(twins):
    everything = bytes(range(256))
    twins("ZADD", everything, 1, everything, 2, everything[::-1], 3, b"a\r\n\x00b", 0, b"\x00", 0, b"", 0, b"\x00\x00")
    for order in ((), ("REV",)):
        twins("ZRANGE", everything, 0, -1, "WITHSCORES", *order)
    twins("ZRANGEBYLEX", everything, b"[\x00", b"(\x00\x00")
    twins("ZSCORE", everything, everything)
    twins("ZRANK", everything, b"\x00\x00")
    for size in (1, 63, 64, 65, 4095, 20_000):
        twins("ZADD", f"size{size}", 1, b"x" * size, 2, b"y" * (size // 2))
        twins("ZRANGE", f"size{size}", 0, -1, "WITHSCORES")
        twins("ZPOPMIN", f"size{size}")


def test_a_thousand_members(twins):
    chance = random.Random(3)
    for start in range(0, 1000, 100):
        twins("ZADD", "many", *(arg for i in range(start, start + 100) for arg in (chance.randrange(300), f"m{i}")))
    for _ in range(200):
        low, high = sorted((chance.randrange(-5, 305), chance.randrange(-5, 305)))
        twins("ZCOUNT", "many", low, f"({high}")
        twins("ZRANGEBYSCORE", "many", low, high, "WITHSCORES", "LIMIT", chance.randrange(20), chance.randrange(-1, 20))
        twins("ZREVRANGE", "many", chance.randrange(1000), chance.randrange(1000))
        twins("ZRANK", "many", f"m{chance.randrange(1100)}")
        twins("ZINCRBY", "many", chance.randrange(-3, 3), f"m{chance.randrange(1000)}")
    twins("ZREMRANGEBYSCORE", "many", 50, 100)
    twins("ZPOPMAX", "many", 50)
    for connection in twins.connections:
        for count in (-500, 1, 10, 400):
            reply = connection.call("ZRANDMEMBER", "many", count)[1]
            assert len(reply) == abs(count) and (count < 0 or len({member[1] for member in reply}) == count)
    twins("ZRANGE", "many", 0, -1, "WITHSCORES")


def test_random_members_are_likely_all_the_same(twins):
    connection = twins.connections[1]
    connection.call("ZADD", "z", *(arg for i in range(10) for arg in (i, f"m{i}")))
    for count in (None, -1, 1, 2, 5):
        seen = dict.fromkeys((f"m{i}" for i in range(10)), 0)
        draws = 3000
        for _ in range(draws):
            reply = connection.call("ZRANDMEMBER", "z", *([] if count is None else [count]))
            for member in [reply] if count is None else reply[1]:
                text = member[1]
                seen[text.decode() if isinstance(text, bytes) else text] += 1
        expected = draws * abs(count or 1) / 10
        assert all(0.7 * expected < times < 1.3 * expected for times in seen.values()), (count, seen)


def test_what_does_not_fit_changes_nothing(make_server):
    """Until all members know feature level 4, a collection is one record."""
    faha = Connection(make_server(args=["--faha.feature-level", "3"]).start().port)
    faha.call("ZADD", "z", 1, "a", 2, "b")
    before = faha.call("ZRANGE", "z", 0, -1, "WITHSCORES")
    too_many = [word for i in range(4097) for word in (i, f"m{i}")]
    assert faha.call("ZADD", "z", 5, "a", *too_many)[1].startswith("TOOLARGE ")
    assert faha.call("ZRANGE", "z", 0, -1, "WITHSCORES") == before
    for key in ("x", "y"):
        faha.call("ZADD", key, *(word for i in range(3000) for word in (i, f"{key}{i}")))
    assert faha.call("ZUNIONSTORE", "z", 2, "x", "y")[0] == "-"
    assert faha.call("ZRANGE", "z", 0, -1, "WITHSCORES") == before


def test_negative_zero(twins):
    """A large sorted set keeps the sign, a small one does not; and both zeros are equal."""
    for size in (1, 127, 128, 129, 1000):
        twins("DEL", "z", "copy")
        twins("ZADD", "z", *(part for i in range(size) for part in (i % 3, f"m{i}")))
        for line in ("ZADD z -0 new", "ZSCORE z new", "ZADD z -0 m0", "ZSCORE z m0", "ZADD z CH 0 new", "ZINCRBY z -0 other", "ZADD z -0 after", "ZRANGE z -0 0 BYSCORE WITHSCORES",
                     "ZUNIONSTORE copy 1 z WEIGHTS -1", "ZRANGE copy 0 -1 WITHSCORES", "ZRANK z new"):  # fmt: skip
            twins(*words(line))
