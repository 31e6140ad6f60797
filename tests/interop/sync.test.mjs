// @atproto/sync follows the firehose, checks every commit's signature and proofs, and misses nothing.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Firehose } from '@atproto/sync'
import { adminToken, call, newAccount, newHandle, post, resolver, url } from './harness.mjs'

const collection = 'app.bsky.feed.post'

/** Follows the stream from `cursor` (live without one) and keeps what concerns `dids`. */
function follow(t, { cursor, dids }) {
  const [events, errors] = [[], []]
  let waiting = () => {}
  const firehose = new Firehose({
    service: url.replace('http', 'ws'),
    idResolver: resolver,
    // Handles under .test resolve nowhere.
    unauthenticatedHandles: true,
    getCursor: () => cursor,
    handleEvent: (event) => {
      if (!dids || dids.includes(event.did)) events.push(event)
      waiting()
    },
    onError: (error) => {
      errors.push(error)
      waiting()
    },
  })
  firehose.start()
  t.after(() => firehose.destroy())
  /** Resolves once the condition holds over the events so far. */
  const until = (condition) =>
    new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        const seen = events.map((event) => `${event.event} ${event.rkey ?? ''}`)
        reject(new Error(`waited in vain; so far ${seen.length} events: ${seen.slice(-20)}`))
      }, 20_000)
      waiting = () => {
        if (errors.length === 0 && !condition(events)) return
        clearTimeout(timer)
        if (errors.length > 0) reject(errors[0])
        resolve(events)
      }
      waiting()
    })
  return { until, end: () => firehose.destroy() }
}

const isCommit = (event) => ['create', 'update', 'delete'].includes(event.event)

test('a new account announces itself', async (t) => {
  const { did, handle } = await newAccount('announced')
  const stream = follow(t, { cursor: 0, dids: [did] })
  const events = await stream.until((events) => events.some((event) => event.event === 'sync'))
  assert.deepEqual(events.map((event) => event.event).slice(0, 2), ['identity', 'account'])
  assert.deepEqual(events[0].didDocument.alsoKnownAs, [`at://${handle}`])
  assert.equal(events[1].active, true)
})

test('every write arrives once, in order, signed and proven', async (t) => {
  const accounts = [await newAccount('busy'), await newAccount('busy'), await newAccount('busy')]
  const dids = accounts.map((account) => account.did)
  const stream = follow(t, { cursor: 0, dids })
  const expected = new Map()
  await Promise.all(
    accounts.map(async ({ did, repo }) => {
      const writes = []
      for (let number = 0; number < 30; number++) {
        const { data } = await repo.createRecord({ repo: did, collection, record: post(`number ${number}`) })
        const rkey = data.uri.split('/').at(-1)
        writes.push(['create', rkey, data.cid, data.commit.rev])
        if (number % 5 === 0) {
          const { data } = await repo.putRecord({ repo: did, collection, rkey, record: post('changed') })
          writes.push(['update', rkey, data.cid, data.commit.rev])
        }
        if (number % 7 === 0) {
          const { data } = await repo.deleteRecord({ repo: did, collection, rkey })
          writes.push(['delete', rkey, undefined, data.commit.rev])
        }
      }
      expected.set(did, writes)
    }),
  )
  const count = [...expected.values()].flat().length
  const events = await stream.until((events) => events.filter(isCommit).length >= count)
  for (const did of dids) {
    const seen = events.filter((event) => event.did === did && isCommit(event))
    const writes = seen.map((event) => [event.event, event.rkey, event.cid?.toString(), event.rev])
    assert.deepEqual(writes, expected.get(did))
  }
  const seqs = events.map((event) => event.seq)
  assert.deepEqual(seqs, seqs.toSorted((a, b) => a - b))
})

test('a subscriber goes on after its cursor', async (t) => {
  const { did, repo } = await newAccount('resumed')
  const create = async (text) => (await repo.createRecord({ repo: did, collection, record: post(text) })).data.cid
  const [first, second] = [await create('first'), await create('second')]
  const one = follow(t, { cursor: 0, dids: [did] })
  const events = await one.until((events) => events.some((event) => event.cid?.toString() === second))
  await one.end()
  const cursor = events.find((event) => event.cid?.toString() === first).seq
  const third = await create('third')
  const two = follow(t, { cursor, dids: [did] })
  const later = await two.until((events) => events.some((event) => event.cid?.toString() === third))
  assert.deepEqual(later.filter(isCommit).map((event) => event.cid.toString()), [second, third])
})

test('identity and account events follow what happens to an account', async (t) => {
  const { agent, did, server } = await newAccount('changing')
  const stream = follow(t, { cursor: 0, dids: [did] })
  const handle = newHandle('changed')
  await agent.com.atproto.identity.updateHandle({ handle })
  await server.deactivateAccount({})
  await server.activateAccount()
  const states = (events) => events.filter((event) => event.event === 'account').map((event) => event.active)
  const events = await stream.until((events) => states(events).length >= 3)
  assert.deepEqual(states(events), [true, false, true])
  assert.equal(events.find((event) => event.event === 'account' && !event.active).status, 'deactivated')
  const names = events.map((event) => event.didDocument?.alsoKnownAs[0])
  assert(names.includes(`at://${handle}`))
})

test('sealed memories are commits like any other, and opaque', { skip: !adminToken }, async (t) => {
  const secret = 'the combination is forty-two'
  const name = newHandle('agent').split('.')[0]
  const agent = await call(adminToken, 'agent.admin.createAgent', { name })
  const memory = { $type: 'agent.memory.note', summary: secret, createdAt: new Date().toISOString() }
  const { uri, cid } = await call(agent.token, 'agent.memory.remember', { memory })
  const stream = follow(t, { cursor: 0, dids: [agent.did] })
  const events = await stream.until((events) => events.some((event) => event.cid?.toString() === cid))
  const event = events.find((event) => event.cid?.toString() === cid)
  assert.equal(event.uri.toString(), uri)
  assert.equal(event.collection, 'agent.vault.sealed')
  assert.equal(event.record.$type, 'agent.vault.sealed')
  assert.deepEqual(Object.keys(event.record).toSorted(), ['$type', 'ciphertext', 'commit', 'salt', 'suite'])
  for (const { bytes } of event.blocks.entries()) assert(!Buffer.from(bytes).includes(secret))
})
