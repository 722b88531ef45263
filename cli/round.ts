import type { SessionManager } from '../lib/manager.js'
import { Tokens } from '../lib/token.js'
import type { Session } from '../types/session.js'
import type { Remote } from './remote.js'
import { reasonOf } from './reason.js'
import type { Verdict } from './verdicts.js'

/** Seconds after which a session of a round that could not end is dead. */
const LIFE = 120

/** Bytes of an id, as the plugin has it unless told otherwise. */
const ID_BYTES = 32

/** Seconds that go by, for the session, before it is touched: DynamoDB is asked to move an expiry, not to leave it. */
const STEP = 30

/** Without a type, since an application may have declared what its sessions hold. */
const data = (round: number): object => ({ round })
const isRound = (session: Session, round: number): boolean => Reflect.get(session, 'round') === round

type Step = 'reach the table' | 'create' | 'read' | 'save' | 'touch' | 'destroy'

/** What a round looks at and does: the steps, by what must be true after each. */
class Round {
  step: Step = 'reach the table'
  readonly #sessions: SessionManager
  /** Known before it is created: where the answer to that is lost, the session may be there all the same. */
  readonly #id: string
  #isOver = true
  #forward = 0

  constructor (remote: Remote) {
    const { now } = remote.settings
    this.#id = new Tokens(ID_BYTES, undefined).makeId()
    const tokens = new Tokens(ID_BYTES, undefined, () => Buffer.from(this.#id, 'base64url'))
    this.#sessions = remote.sessions({ idleTimeout: LIFE, reissueTime: 0, now: () => now() + this.#forward }, tokens)
  }

  async run (): Promise<void> {
    await this.#sessions.verifyTable()
    this.step = 'create'
    this.#isOver = false
    await this.#sessions.create(data(1))
    this.step = 'read'
    const read = await this.#load()
    this.#expect(isRound(read, 1), 'what was created is read otherwise')
    this.step = 'save'
    Object.assign(read, data(2))
    await this.#sessions.save(read)
    const saved = await this.#load()
    this.#expect(isRound(saved, 2) && saved.version === 2, 'what was saved is read otherwise')
    this.step = 'touch'
    this.#forward = STEP * 1000
    saved.touch()
    await this.#sessions.save(saved)
    const touched = await this.#load()
    this.#expect(Number(touched.expiresAt) > Number(read.expiresAt), 'the expiry has not moved')
    this.step = 'destroy'
    await this.#sessions.destroy(this.#id)
    this.#expect(await this.#sessions.load(this.#id) === null, 'the session is still there')
    this.#isOver = true
  }

  /** Takes away what a round that failed has left. */
  async clean (): Promise<boolean> {
    if (this.#isOver) return true
    return await this.#sessions.destroy(this.#id).then(() => true, () => false)
  }

  async #load (): Promise<Session> {
    return await this.#sessions.load(this.#id, { required: true })
  }

  #expect (isTrue: boolean, otherwise: string): void {
    if (!isTrue) throw new Error(`${otherwise}.`)
  }
}

/** A session that is created, read, saved, touched and destroyed, as the plugin does it: 9 calls. */
export async function takeRound (remote: Remote): Promise<Verdict> {
  const check = 'round'
  const round = new Round(remote)
  const start = performance.now()
  try {
    await round.run()
    return { check, state: 'ok', fact: `A session was created, read, saved, touched and destroyed in ${Math.round(performance.now() - start)} ms.` }
  } catch (error) {
    const left = await round.clean() ? '' : ` The session may still be there, and is dead in ${LIFE / 60} minutes.`
    return {
      check,
      state: 'fault',
      fact: `A session could not be used: "${round.step}" failed. ${reasonOf(error)}${left}`,
      remedy: 'Mend what is named above. Where it is a permission, "iam-policy" prints what the web servers need.'
    }
  }
}
