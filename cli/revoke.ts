import { OUTPUT_FLAGS, TABLE_FLAGS, type Command } from './command.js'
import { CommandFault, FINE } from './fault.js'
import { loggableId, NOT_FOUND } from './keys.js'
import { Remote } from './remote.js'

export const revoke: Command = {
  name: 'revoke',
  summary: 'Ends one session: whoever has its token is logged out.',
  about: [
    'The record is replaced by a tombstone that goes by itself, so that nothing under way brings the session back. A process with a',
    '`cache` may read it for as long as that says. One that is bound to a user leaves the list of that user, also where the',
    'application has no `userIndex` any more. Two strongly consistent reads and one write, and one of the list; where there is no',
    'such session, one read, and nothing is written.'
  ],
  positionals: ['loggable id'],
  flags: { ...TABLE_FLAGS, ...OUTPUT_FLAGS },
  run: async context => {
    const { given, output } = context
    const key = loggableId(given.positionals[0] as string)
    return await Remote.use(context, async remote => {
      // A tombstone for what is not there would keep a secret id, pasted by mistake, where a hash should stand.
      if (await remote.item(key) === undefined) throw new CommandFault('FST_DYNAMODB_SESSION_NOT_FOUND', NOT_FOUND)
      await remote.sessions().revoke(key)
      if (given.has('json')) output.printJson({ loggableId: key, revoked: true })
      else output.print('The session is revoked.')
      return FINE
    })
  }
}
