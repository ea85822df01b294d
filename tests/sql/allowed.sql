SELECT 1

WITH 1 AS x SELECT x

SELECT count() FROM system.tables

SELECT sum(number) FROM numbers(10)

SELECT 'file(''x'')', format('{}', 'url(') -- file('/etc/passwd')

SELECT * FROM values('a UInt8', 1, 2)

SELECT 1 INTERSECT SELECT 1

SELECT status, count() FROM tickets GROUP BY status WITH TOTALS

SELECT status, count() FROM tickets GROUP BY ALL ORDER BY ALL

SELECT quantile(0.9)(number), quantiles(0.5, 0.9)(number) FROM numbers(100)

SELECT arrayMap(x -> x * 2, [1, 2, 3]), arrayFilter((x, y) -> x > y, [1, 2], [0, 3])

SELECT number, row_number() OVER (PARTITION BY number % 3 ORDER BY number) FROM numbers(10)

SELECT number, lagInFrame(number, 1, 0) OVER w FROM numbers(5) WINDOW w AS (ORDER BY number ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)

SELECT argMax(number, number), anyLast(number), uniq(number), uniqExact(number), topK(3)(number) FROM numbers(10)

SELECT sumIf(number, number > 3), countIf(number % 2 = 0), avgOrNull(number), sumArrayIf([number], 1), groupArrayDistinct(number) FROM numbers(10)

SELECT JSONExtractString('{"a": "b"}', 'a'), JSON_VALUE('{"a": 1}', '$.a'), simpleJSONExtractInt('{"a":1}', 'a')

SELECT toStartOfHour(toDateTime('2026-01-01 10:00:00')) AS h, count() FROM numbers(3) GROUP BY h ORDER BY h WITH FILL FROM toDateTime('2026-01-01 08:00:00') TO toDateTime('2026-01-01 12:00:00') STEP INTERVAL 1 HOUR

SELECT a.k, b.v FROM (SELECT 1 AS k, 5 AS t) AS a ASOF JOIN (SELECT 1 AS k, 3 AS t, 'x' AS v) AS b ON a.k = b.k AND a.t >= b.t

WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 5) SELECT max(n) FROM r

SELECT * EXCEPT (number) FROM (SELECT number, 1 AS b FROM numbers(2))

SELECT * REPLACE (number + 1 AS number) FROM numbers(2)

SELECT * APPLY(sum) FROM numbers(3)

SELECT COLUMNS('^n') FROM numbers(2)

SELECT number FROM numbers(10) LIMIT 2 BY number % 2 LIMIT 5 OFFSET 1

SELECT number FROM numbers(10) ORDER BY number DESC NULLS LAST LIMIT 3 WITH TIES

SELECT k, v FROM (SELECT [1, 2] AS a, ['x', 'y'] AS b) ARRAY JOIN a AS k, b AS v

SELECT arrayJoin([1, 2, 3]) AS x LIMIT 2

SELECT CAST(1 AS UInt8), 1::String, '1'::Decimal(10, 2), CAST('1', 'UInt32'), toDecimal64(1, 2)

SELECT tuple(1, 'a').1, (1, 2).2, map('a', 1)['a'], [1, 2][1]

SELECT if(1, 2, 3), multiIf(1, 2, 0, 3, 4), CASE WHEN 1 THEN 'a' ELSE 'b' END, CASE 1 WHEN 1 THEN 2 END, 1 ? 2 : 3

SELECT now() - INTERVAL 1 DAY, dateDiff('minute', now(), now() + toIntervalHour(1)), date_trunc('hour', now()), formatDateTime(now(), '%Y')

SELECT toTimeZone(now(), 'Europe/Berlin'), toUnixTimestamp64Milli(now64(3))

SELECT extract('abc123', '\\d+'), replaceRegexpAll('aa', 'a', 'b'), match('a', 'b'), 'a' LIKE '%a', 'A' ILIKE 'a', splitByChar(',', 'a,b')

SELECT hex(SHA256('a')), base64Encode('x'), cityHash64('a'), toUUID('00000000-0000-0000-0000-000000000001')

SELECT 1 IN (1, 2), (1, 2) IN ((1, 2), (3, 4)), 1 NOT IN (SELECT 2), 1 GLOBAL IN (SELECT 1)

SELECT number BETWEEN 1 AND 3, number IS NOT NULL, NOT number FROM numbers(3)

SELECT * FROM tickets FINAL LIMIT 0

SELECT * FROM tickets SAMPLE 1 LIMIT 0

SELECT ticket_id FROM tickets PREWHERE status = 'x' LIMIT 1

SELECT t.ticket_id FROM tickets AS t LEFT JOIN workflows AS w USING (workflow_id) LIMIT 1

SELECT t.ticket_id FROM tickets t ANY LEFT JOIN workflows w ON t.workflow_id = w.workflow_id LIMIT 1

SELECT t.ticket_id FROM tickets t LEFT ANTI JOIN workflows w USING workflow_id

SELECT 1 FROM tickets t SEMI LEFT JOIN workflows w ON t.workflow_id = w.workflow_id

SELECT a.number FROM numbers(3) a CROSS JOIN numbers(2) b

SELECT number FROM numbers(3) a, numbers(2) b WHERE a.number = b.number

SELECT status, task_type, count() FROM tickets GROUP BY ROLLUP(status, task_type)

SELECT status, count() FROM tickets GROUP BY GROUPING SETS ((status), ())

SELECT status FROM tickets GROUP BY status HAVING count() > 1 QUALIFY row_number() OVER (ORDER BY status) = 1

SELECT count() FROM neural_hive.tickets_as_of(at = '2026-01-01 00:00:00')

SELECT count() FROM tickets_as_of(at = toString(now('UTC') - INTERVAL 1 MINUTE))

SELECT {s:String}, {n:UInt8} + 1, {a:Array(String)}, {d:DateTime}, {x:Nullable(String)}

SELECT payload.a.b::String FROM (SELECT '{"a":{"b":1}}'::JSON AS payload)

SELECT json.^a, json.a.:Int64 FROM (SELECT '{"a":{"b":1}}'::JSON AS json)

SELECT 1 FORMAT JSONEachRow

SELECT 1 AS a UNION ALL SELECT 2 UNION DISTINCT SELECT 3

SELECT 1 EXCEPT SELECT 2

SELECT `number`, "number" FROM numbers(1)

SELECT 1 # comment
 + 1

SELECT 0x1F, 1e3, .5, -1, 0b101, 1_000, nan, inf, NULL, true

SELECT quantileTDigestIf(0.95)(number, 1), quantileExactWeighted(0.5)(number, 1), sequenceMatch('(?1)(?2)')(toDateTime(number), number = 1, number = 2), windowFunnel(10)(toDateTime(number), number = 1) FROM numbers(5)

SELECT finalizeAggregation(sumState(number)), sumMerge(s) FROM (SELECT sumState(number) AS s, 1 AS number FROM numbers(3)) GROUP BY number

SELECT arraySort(x -> -x, [1, 2]), arrayReduce('max', [1, 2]), arrayZip([1], [2]), arrayEnumerate([1]), arrayCumSum([1, 2]), arrayStringConcat(['a'], ','), has([1], 1), indexOf([1], 1), range(3)

SELECT mapKeys(map('a', 1)), mapValues(map('a', 1)), mapApply((k, v) -> (k, v + 1), map('a', 1))

SELECT lead(number) OVER (ORDER BY number), sum(number) OVER (ORDER BY number ROWS UNBOUNDED PRECEDING), rank() OVER (ORDER BY number), dense_rank() OVER (ORDER BY number), first_value(number) OVER (ORDER BY number), nth_value(number, 2) OVER () FROM numbers(3)

WITH (SELECT max(number) FROM numbers(10)) AS m SELECT number FROM numbers(10) WHERE number = m

WITH x -> x + 1 AS inc SELECT inc(1)

WITH a AS (SELECT 1 AS x), b AS (SELECT x + 1 AS y FROM a) SELECT * FROM a, b

SELECT sum(number) FILTER (WHERE number > 1) FROM numbers(3)

SELECT groupArray(10)(number), groupUniqArray(number), groupArraySorted(3)(number), sumMap(map('a', 1)), histogram(3)(number) FROM numbers(10)

SELECT bar(number, 0, 10, 5), formatReadableSize(number), formatReadableTimeDelta(number) FROM numbers(3)

SELECT EXISTS(SELECT 1), (SELECT count() FROM tickets)

SELECT toStartOfInterval(now(), INTERVAL 5 MINUTE), EXTRACT(YEAR FROM now()), DATE '2026-01-01', TIMESTAMP '2026-01-01 00:00:00'

SELECT substring('abc', 1, 2), SUBSTRING('abc' FROM 1 FOR 2), trim(BOTH ' ' FROM ' a '), position('a' IN 'ba'), concat('a', 'b'), 'a' || 'b', lower('A'), coalesce(NULL, 1), nullIf(1, 1), ifNull(NULL, 1)

SELECT * FROM (SELECT 1 AS a) AS s (b)

SELECT name FROM system.columns WHERE database = currentDatabase() AND table = 'tickets'

SELECT * FROM generate_series(1, 3)

SELECT 1 SETTINGS max_threads = 1

SELECT t.1 FROM (SELECT (1, 2) AS t)

SELECT DISTINCT ON (status) status FROM tickets

SELECT kql FROM (SELECT 1 AS kql)

SELECT outputs['lines'] AS lines, artifact.name FROM tickets ARRAY JOIN artifacts AS artifact

SELECT ticket_id FROM tickets WHERE has(dependencies, 'x') LIMIT 1 BY ticket_id

SELECT count(DISTINCT status) FROM tickets

SELECT toDate('2026-01-01') + INTERVAL 1 MONTH, now() - INTERVAL '1 day'

SELECT median(number), stddevPop(number), corr(number, number), simpleLinearRegression(number, number) FROM numbers(5)

SELECT * FROM tickets WHERE status = 'x' ORDER BY created_at ASC LIMIT 10, 20

FROM tickets SELECT count()

SHOW TABLES

DESCRIBE TABLE tickets

EXPLAIN SELECT 1

EXISTS TABLE tickets

SHOW CREATE TABLE tickets

(SELECT 1) UNION ALL (SELECT 2)

SELECT 1 /* a comment */ + 1 -- and another

SELECT 1;

SELECT 1
;

select 1 as `from`, 2 as `select`

SELECT 'ä', 1 AS `größe`

SELECT 'it''s', 'a\'b', '\\'

SELECT a.b FROM (SELECT CAST((1, 2), 'Tuple(b UInt8, d UInt8)') AS a)

SELECT 1 SETTINGS join_use_nulls = 1, max_execution_time = 5

SELECT * FROM (SELECT 1 SETTINGS join_use_nulls = 1)

SELECT 1 SETTINGS output_format_json_quote_64bit_integers = 1 FORMAT JSON

EXPLAIN PLAN actions = 1 SELECT 1

EXPLAIN SYNTAX SELECT 1 + 1

EXPLAIN AST SELECT 1

EXPLAIN QUERY TREE SELECT 1

EXPLAIN PIPELINE SELECT 1

EXPLAIN ESTIMATE SELECT * FROM tickets

DESCRIBE (SELECT 1 AS a)

DESC tickets

DESCRIBE TABLE system.one

EXISTS tickets

SHOW TABLES LIKE 'tick%' LIMIT 2

SHOW TABLES FROM neural_hive

SHOW TABLES FROM system

SHOW CREATE TABLE neural_hive.tickets

SHOW COLUMNS FROM tickets

SHOW DATABASES

SHOW FUNCTIONS LIKE 'array%'

SHOW TABLES FORMAT JSON

SELECT table_name FROM information_schema.tables LIMIT 1

SELECT * FROM INFORMATION_SCHEMA.COLUMNS LIMIT 1

SELECT name FROM system.functions LIMIT 1

SELECT name, value FROM system.settings LIMIT 1

SELECT version(), timezone(), currentDatabase(), currentUser()

SELECT format FROM (SELECT 1 AS format)

SELECT settings FROM (SELECT 1 AS settings) WHERE settings = 1

SELECT system FROM (SELECT 1 AS system)

SELECT * FROM view(SELECT 1 AS a)

SELECT * APPLY(max) FROM numbers(3)

SELECT * FROM null('a UInt8')

SELECT * FROM generateRandom('a UInt8', 1) LIMIT 1

SELECT number FROM system.numbers LIMIT 2

SELECT exponentialMovingAverage(1)(number, number) FROM numbers(3)

SELECT ticket_id FROM tickets WHERE ticket_id IN (SELECT ticket_id FROM tickets WHERE status = 'x') ORDER BY ticket_id

SELECT toStartOfMonth(now()), toYYYYMM(now()), addDays(now(), 1), subtractHours(now(), 1), age('day', now(), now())

SELECT levenshteinDistance('a', 'b'), ngramSearch('a', 'b'), soundex('a')

SELECT geoDistance(1, 1, 2, 2), greatCircleDistance(1, 1, 2, 2)

SELECT bitAnd(1, 2), bitCount(3), toIPv4('127.0.0.1'), IPv4NumToString(1)

SELECT arrayFold((acc, x) -> acc + x, [1, 2], toInt64(0)), arrayExists(x -> x > 1, [1, 2]), arrayAll(x -> x, [1])

SELECT flatten([[1]]), arrayDistinct([1, 1]), arrayUniq([1])

SELECT groupBitAnd(number), groupConcat(',')(number), entropy(number), skewPop(number), kurtPop(number), mannWhitneyUTest('two-sided')(number, number % 2) FROM numbers(9)

SELECT maxMap(map('a', 1)), minMap(map('a', 1)), avgWeighted(number, 1), deltaSum(number), maxIntersections(number, number + 1), retention(number = 1, number = 2) FROM numbers(3)

SELECT sumIfOrNull(number, 0), quantilesTDigestIf(0.5, 0.9)(number, 1), argMaxIf(number, number, 1), groupArrayIf(number, 1), uniqCombined(12)(number), uniqHLL12(number) FROM numbers(3)

SELECT cutToFirstSignificantSubdomain('http://a.b.c/'), domain('http://a.b/'), path('http://a.b/c'), extractURLParameter('http://a/?b=c', 'b')

SELECT avg(number) OVER (ORDER BY number RANGE BETWEEN 1 PRECEDING AND 1 FOLLOWING), ntile(2) OVER (ORDER BY number) FROM numbers(3)

SELECT s.x FROM (SELECT number AS x FROM numbers(3)) AS s INNER JOIN (SELECT 1 AS x) AS t ON s.x = t.x AND s.x > 0

SELECT * FROM (SELECT 1 AS a) AS l FULL OUTER JOIN (SELECT 2 AS a) AS r USING (a)

SELECT * FROM (SELECT 1 AS a) l RIGHT JOIN (SELECT 1 AS a) r USING a

SELECT date_add(DAY, 1, now()), DATE_SUB(now(), INTERVAL 1 HOUR), timestampDiff(SECOND, now(), now()), TIMESTAMP_ADD(now(), INTERVAL 1 DAY)

WITH toDate('2026-01-01') AS start SELECT start + number AS day FROM numbers(3)

WITH RECURSIVE t AS (SELECT [1] AS path UNION ALL SELECT arrayConcat(path, [2]) FROM t WHERE length(path) < 3) SELECT * FROM t

SELECT status, count() FROM tickets GROUP BY ALL FORMAT Native

SELECT status, count() FROM tickets GROUP BY ALL
 FORMAT JSON SETTINGS join_use_nulls = 1

SELECT status, count() FROM tickets GROUP BY status WITH TOTALS SETTINGS max_threads = 1, output_format_json_quote_64bit_integers = 0 FORMAT JSON;
