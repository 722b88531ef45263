// The stub in a process of its own, so that its work is not taken for the client's.
import { answer } from './child.js'
import { Stub, type Filling } from './stub.js'

const stub = await Stub.start()

answer({
  ready: () => stub.endpoint,
  take: () => stub.take(),
  delay: (milliseconds: number) => { stub.delay = milliseconds },
  fill: (filling: Filling) => { stub.fill(filling) },
  keys: (table: string) => stub.keys(table),
  clear: () => { stub.clear() },
  cpu: () => {
    const { user, system } = process.cpuUsage()
    return user + system
  }
})
