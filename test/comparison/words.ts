// The words of docs/comparison.md that stand around its tables.

export const INTRODUCTION = `For people who choose a session library. Each cell has its evidence [below](#the-evidence): a test of ours, words in the file of another
library at the version named here, or a measurement. Read on 21 November 2026. The document is written by \`npm run comparison\`
from \`test/comparison/\`, and [a test](../test/comparison.test.ts) compares it with the packages that are installed: where one of them
changes, somebody looks again. Libraries in Python, Go, Rust and Java were
read, and not run; their files are linked at the commit that was read, which may not be their newest. Who finds a cell that is wrong or
unfair is asked to say so.`

export const LEGEND = `**yes**: as it is. **option**: there, off unless it is asked for. **partly**: with what the evidence says. **no**: not there. **host**: a store for
express-session or @fastify/session, which decide. **—**: has no meaning there. **?**: not found in the files that were read, which is
less than a no. Options of the plugin are named as they are in the [README](../README.md).`

export const CHOICE = `- **A session of some hundred bytes that need not be ended from the server**: @fastify/secure-session. It needs no table, takes no
  call, costs nothing and cannot fail with a store. A cookie that was copied opens until it expires, and of two changes at once one is lost.
- **Redis or SQL is there already, and known to who runs it**: @fastify/session or express-session with a store for it. Redis in the same
  network usually answers sooner than DynamoDB, and reads are not paid one by one. Set \`saveUninitialized: false\` and \`rolling: false\`.
- **Fastify on AWS, and sessions that matter**, such as carts, log-ins, log-outs: this library. It is for what meets in one session, for
  outages, and for the bill of reads that would otherwise write.
- **Express, with DynamoDB**: express-session with \`DynamoStore\` of this library, or @pwrdrvr/dynamodb-session-store, whose touches are sparing as well;
  connect-dynamodb writes with every read. What express-session decides itself (lost changes, the cookie after a log-out) stays as it is.
- **Go**: scs, which is small, has both timeouts, more than twenty stores, and reads well. **Rust**: tower-sessions, lazy, with a cache before a store,
  and changes of failed requests dropped. **Java**: Spring Session, with attributes written one by one, events across processes, and an
  index of users. **Python**: pyramid-dynamodb-sessions hashes its ids and notices conflicts; dynamodb-session-flask costs two writes a read.
- **No cloud, one process, a day's work**: the store in memory of whatever you have.`

export const NOT_HERE = `- It keeps sessions in DynamoDB, and nowhere else: a [repository of your own](decisions/0005-a-repository-as-client.md) is possible, and one in memory comes with it, for tests.
- It works with Fastify 5. For Express there is the store, which does what express-session asks.
- It locks nothing: what must happen once is an \`update()\`, or a table of its own.
- Its events are those of this process. Spring Session tells every process of a session that has ended.
- Each request of a visitor who is signed in needs a call, or a share in one, of some milliseconds. A session in a cookie needs none.
- Of the targets that it was given for its own speed, [some are not met](../bench/results.md#what-it-is-meant-to-reach).
- It has no sort key, which tower-sessions' store has, no flash messages and no CSRF tokens, for which Fastify has plugins.
- It is young, and the others have been in use for years.`
