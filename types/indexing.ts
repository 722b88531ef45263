import type { RecordChange, SessionRecord, StoredValue } from './repository.js'

/** What stands beside the data for secondary indexes of the application's. It follows from the values, so nobody else keeps it in step. */
export interface Indexing {
  /** Session keys, and so the names of the attributes. */
  readonly names: readonly string[]
  /** The attributes that a record is to have; none for a value that cannot be an index key. */
  attributesOf (record: Pick<SessionRecord, 'key' | 'format' | 'data'>): Record<string, StoredValue>
  /** What a save does about them: for the keys that it changes, and for those whose attribute was not in step when it was read. */
  changesOf (change: Pick<RecordChange, 'base' | 'set' | 'delete'>): IndexChange[]
  /** The same for a write that is to go without attributes. */
  readonly withoutValues: Indexing
}

export interface IndexChange {
  readonly name: string
  /** Undefined where the attribute is to go. */
  readonly value: StoredValue | undefined
  /** Where the change follows from what was read: the value that must still be stored, or its absence. */
  readonly from?: { readonly stored: StoredValue | undefined }
}
