// @atproto/api as people use it: accounts, posts, blobs, sessions, and the error names clients act on.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AtpAgent } from '@atproto/api'
import { verifySignature } from '@atproto/crypto'
import { bytes, fails, newAccount, newHandle, password, post, signingKey, stranger, url } from './harness.mjs'

const collection = 'app.bsky.feed.post'

test('the server describes itself', async () => {
  const { data } = await stranger().com.atproto.server.describeServer()
  assert(data.availableUserDomains.includes('.test'))
  assert(data.did.startsWith('did:web:'))
})

test('an account is created, logged in to, refreshed and logged out of', async () => {
  const { agent, did, handle, server } = await newAccount()
  const { data: session } = await server.getSession()
  assert.deepEqual([session.did, session.handle, session.active], [did, handle, true])

  const other = stranger()
  await other.login({ identifier: handle, password })
  assert.equal(other.session.did, did)
  await other.login({ identifier: did, password })
  await fails(stranger().login({ identifier: handle, password: 'wrong' }), 'AuthenticationRequired', 401)
  await fails(stranger().login({ identifier: newHandle(), password }), 'AuthenticationRequired', 401)

  const before = agent.session.refreshJwt
  await agent.sessionManager.refreshSession()
  assert.notEqual(agent.session.refreshJwt, before)
  await server.getSession()

  const refreshJwt = agent.session.refreshJwt
  await agent.logout()
  const refresh = stranger().com.atproto.server.refreshSession(undefined, {
    headers: { authorization: `Bearer ${refreshJwt}` },
  })
  await fails(refresh, ['ExpiredToken', 'InvalidToken'])
})

test('tokens that are none are refused', async () => {
  await fails(stranger().com.atproto.server.getSession(), ['AuthMissing', 'AuthenticationRequired'], 401)
  const headers = { authorization: 'Bearer nonsense' }
  await fails(stranger().com.atproto.server.getSession({}, { headers }), ['InvalidToken', 'AuthMissing'])
})

test('handles are checked', async () => {
  const { handle } = await newAccount()
  const create = (handle) =>
    stranger().createAccount({ handle, email: `x${Math.random()}@example.com`, password })
  await fails(create(handle), ['HandleNotAvailable', 'InvalidRequest'], 400)
  await fails(create('name.example.com'), ['UnsupportedDomain', 'InvalidRequest'], 400)
  await fails(create('.test'), ['InvalidHandle', 'InvalidRequest'], 400)
  await fails(create('a_b.test'), ['InvalidHandle', 'InvalidRequest'], 400)
})

test('posts, replies, likes and a profile', async () => {
  const { agent, did, handle, repo } = await newAccount()
  const root = await agent.post({ text: 'hello', createdAt: new Date().toISOString() })
  const reply = await agent.post({ text: 'hello back', reply: { root, parent: root } })
  const like = await agent.like(reply.uri, reply.cid)
  await agent.upsertProfile((profile) => ({ ...profile, displayName: 'First' }))
  await agent.upsertProfile((profile) => ({ ...profile, description: 'Second' }))

  const profile = await repo.getRecord({ repo: handle, collection: 'app.bsky.actor.profile', rkey: 'self' })
  assert.equal(profile.data.value.displayName, 'First')
  assert.equal(profile.data.value.description, 'Second')

  const rkey = reply.uri.split('/').at(-1)
  const read = await stranger().com.atproto.repo.getRecord({ repo: did, collection, rkey, cid: reply.cid })
  assert.equal(read.data.cid, reply.cid)
  assert.equal(read.data.uri, reply.uri)
  assert.deepEqual(read.data.value.reply, { root, parent: root })

  await agent.deletePost(reply.uri)
  await agent.deletePost(reply.uri)
  await agent.deleteLike(like.uri)
  await fails(repo.getRecord({ repo: did, collection, rkey }), 'RecordNotFound', 400)

  const { data } = await repo.describeRepo({ repo: did })
  assert.equal(data.handle, handle)
  assert.deepEqual(data.collections.toSorted(), ['app.bsky.actor.profile', collection])
})

test('records are listed in both directions, page by page', async () => {
  const { did, repo } = await newAccount()
  const writes = Array.from({ length: 25 }, (_, number) => ({
    $type: 'com.atproto.repo.applyWrites#create',
    collection,
    value: post(`number ${number}`),
  }))
  await repo.applyWrites({ repo: did, writes })

  const list = async (reverse) => {
    const keys = []
    let cursor
    do {
      const { data } = await repo.listRecords({ repo: did, collection, limit: 10, cursor, reverse })
      assert(data.records.length <= 10)
      keys.push(...data.records.map((record) => record.uri))
      cursor = data.cursor
    } while (cursor)
    return keys
  }
  const [newestFirst, oldestFirst] = [await list(false), await list(true)]
  assert.equal(new Set(newestFirst).size, 25)
  assert.deepEqual(newestFirst, newestFirst.toSorted().reverse())
  assert.deepEqual(oldestFirst, newestFirst.toReversed())
  await fails(repo.listRecords({ repo: did, collection, limit: 101 }), 'InvalidRequest', 400)
})

test('swaps protect against lost updates', async () => {
  const { did, repo } = await newAccount()
  const key = { repo: did, collection: 'app.bsky.actor.profile', rkey: 'self' }
  const record = (displayName) => ({ $type: 'app.bsky.actor.profile', displayName })
  const first = (await repo.putRecord({ ...key, record: record('one'), swapRecord: null })).data
  const second = (await repo.putRecord({ ...key, record: record('two'), swapRecord: first.cid })).data

  await fails(repo.putRecord({ ...key, record: record('three'), swapRecord: first.cid }), 'InvalidSwap', 400)
  await fails(repo.putRecord({ ...key, record: record('three'), swapRecord: null }), 'InvalidSwap', 400)
  await fails(repo.deleteRecord({ ...key, swapRecord: first.cid }), 'InvalidSwap', 400)
  const swapCommit = first.commit.cid
  const create = { repo: did, collection, record: post('late') }
  await fails(repo.createRecord({ ...create, swapCommit }), 'InvalidSwap', 400)
  await fails(repo.putRecord({ ...key, record: record('three'), swapCommit }), 'InvalidSwap', 400)

  await repo.createRecord({ ...create, swapCommit: second.commit.cid })
  await repo.deleteRecord({ ...key, swapRecord: second.cid })
})

test('putting what is there makes no commit', async () => {
  const { agent, did, repo } = await newAccount()
  const input = { repo: did, collection: 'app.bsky.actor.profile', rkey: 'self', record: { displayName: 'same' } }
  const { data: first } = await repo.putRecord(input)
  const { data: second } = await repo.putRecord(input)
  assert.equal(second.cid, first.cid)
  const { data: latest } = await agent.com.atproto.sync.getLatestCommit({ did })
  assert.equal(latest.rev, first.commit.rev)
})

test('applyWrites does all or nothing', async () => {
  const { did, repo } = await newAccount()
  const create = (rkey, text) => ({
    $type: 'com.atproto.repo.applyWrites#create',
    collection,
    rkey,
    value: post(text),
  })
  const keys = ['3jzfcijpj2z2a', '3jzfcijpj2z2b', '3jzfcijpj2z2c']
  const { data } = await repo.applyWrites({ repo: did, writes: keys.map((key) => create(key, key)) })
  assert.equal(data.results.length, 3)
  assert(data.results.every((result) => result.$type === 'com.atproto.repo.applyWrites#createResult'))

  const update = { $type: 'com.atproto.repo.applyWrites#update', collection, rkey: keys[0], value: post('new') }
  const remove = { $type: 'com.atproto.repo.applyWrites#delete', collection, rkey: keys[1] }
  const missing = { $type: 'com.atproto.repo.applyWrites#delete', collection, rkey: '3jzfcijpj2z2x' }
  const invalid = { ...create('3jzfcijpj2z2d', ''), value: { $type: collection, text: 1 } }
  await assert.rejects(repo.applyWrites({ repo: did, writes: [update, remove, invalid] }))
  await assert.rejects(repo.applyWrites({ repo: did, writes: [update, remove, create(keys[2], 'again')] }))
  await assert.rejects(repo.applyWrites({ repo: did, writes: [update, remove, missing] }))
  const read = await repo.getRecord({ repo: did, collection, rkey: keys[0] })
  assert.equal(read.data.value.text, keys[0])

  await repo.applyWrites({ repo: did, writes: [update, remove] })
  const { data: list } = await repo.listRecords({ repo: did, collection, reverse: true })
  assert.deepEqual(list.records.map((record) => record.value.text), ['new', keys[2]])
})

test('records are validated as asked', async () => {
  const { did, repo } = await newAccount()
  const create = (collection, record, validate) => repo.createRecord({ repo: did, collection, record, validate })
  const unknown = { $type: 'com.example.thing', anything: true }
  const invalid = { $type: collection, text: 'no date' }

  assert.equal((await create(collection, post('a'))).data.validationStatus, 'valid')
  assert.equal((await create(collection, post('a'), true)).data.validationStatus, 'valid')
  assert.equal((await create(collection, post('a'), false)).data.validationStatus, undefined)
  assert.equal((await create('com.example.thing', unknown)).data.validationStatus, 'unknown')
  assert.equal((await create(collection, invalid, false)).data.validationStatus, undefined)
  await fails(create('com.example.thing', unknown, true), 'InvalidRequest', 400)
  await fails(create(collection, invalid), 'InvalidRequest', 400)
  await fails(create(collection, { ...post('a'), $type: 'app.bsky.feed.like' }), 'InvalidRequest', 400)
  await fails(create('com.example.thing', { ...unknown, float: 1.5 }), 'InvalidRequest', 400)
  await fails(create('no nsid', unknown), 'InvalidRequest', 400)
  await fails(
    repo.createRecord({ repo: did, collection: 'com.example.thing', rkey: 'a/b', record: unknown }),
    'InvalidRequest',
    400,
  )
})

test('blobs are served once a record refers to them', async () => {
  const { agent, did, repo } = await newAccount()
  const sync = agent.com.atproto.sync
  const png = Buffer.from(
    'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==',
    'base64',
  )
  const { data: upload } = await agent.uploadBlob(png, { encoding: 'image/png' })
  const cid = upload.blob.ref.toString()
  assert.equal(upload.blob.size, png.length)
  assert.equal(upload.blob.mimeType, 'image/png')
  await fails(sync.getBlob({ did, cid }), ['BlobNotFound', 'InvalidRequest'], 400)

  const embed = { $type: 'app.bsky.embed.images', images: [{ alt: 'a dot', image: upload.blob }] }
  const { uri } = await agent.post({ text: 'look', embed })
  assert.deepEqual(Buffer.from(await bytes('com.atproto.sync.getBlob', { did, cid })), png)
  assert.deepEqual((await sync.listBlobs({ did })).data.cids, [cid])
  assert.deepEqual((await repo.listMissingBlobs()).data.blobs, [])

  await agent.deletePost(uri)
  await fails(sync.getBlob({ did, cid }), ['BlobNotFound', 'InvalidRequest'], 400)

  const image = { $type: 'blob', ref: { $link: 'bafkreibm6jg3ux5qumhcn2b3flc3tyu6dmlb4xa7u5bf44yegnrjhc4yeq' } }
  Object.assign(image, { mimeType: 'image/png', size: 1 })
  const record = post('no such blob', { embed: { $type: 'app.bsky.embed.images', images: [{ alt: '', image }] } })
  const response = await fetch(`${url}/xrpc/com.atproto.repo.createRecord`, {
    method: 'POST',
    headers: { authorization: `Bearer ${agent.session.accessJwt}`, 'content-type': 'application/json' },
    body: JSON.stringify({ repo: did, collection, record }),
  })
  assert.equal(response.status, 400)
  assert.equal((await response.json()).error, 'BlobNotFound')
})

test('an app password logs in, writes, and manages nothing', async () => {
  const { did, handle, server } = await newAccount()
  const { data: made } = await server.createAppPassword({ name: 'phone' })
  await assert.rejects(server.createAppPassword({ name: 'phone' }))
  assert.deepEqual((await server.listAppPasswords()).data.passwords.map((password) => password.name), ['phone'])

  const phone = new AtpAgent({ service: url })
  await phone.login({ identifier: handle, password: made.password })
  assert.equal(phone.session.did, did)
  await phone.post({ text: 'from the phone' })
  await assert.rejects(phone.com.atproto.server.createAppPassword({ name: 'other' }))
  await assert.rejects(phone.com.atproto.server.deactivateAccount({}))

  await server.revokeAppPassword({ name: 'phone' })
  await fails(stranger().login({ identifier: handle, password: made.password }), 'AuthenticationRequired', 401)
  await assert.rejects(phone.sessionManager.refreshSession())
})

test('a handle changes', async () => {
  const { agent, did, handle } = await newAccount()
  const taken = await newAccount()
  const other = newHandle('renamed')
  await agent.com.atproto.identity.updateHandle({ handle: other })
  assert.equal((await stranger().resolveHandle({ handle: other })).data.did, did)
  await assert.rejects(stranger().resolveHandle({ handle }))
  await assert.rejects(agent.com.atproto.identity.updateHandle({ handle: taken.handle }))
  const { data } = await agent.com.atproto.repo.describeRepo({ repo: did })
  assert.equal(data.handle, other)
})

test('an account rests and comes back', async () => {
  const { agent, did, server } = await newAccount()
  const sync = stranger().com.atproto.sync
  await agent.post({ text: 'before' })
  await server.deactivateAccount({})
  const status = (await sync.getRepoStatus({ did })).data
  assert.deepEqual([status.active, status.status], [false, 'deactivated'])
  await fails(sync.getRepo({ did }), 'RepoDeactivated', 400)
  await assert.rejects(agent.post({ text: 'asleep' }))
  await server.activateAccount()
  assert.equal((await sync.getRepoStatus({ did })).data.active, true)
  await agent.post({ text: 'after' })
})

test("nobody writes to another's repo", async () => {
  const [alice, mallory] = [await newAccount(), await newAccount()]
  await assert.rejects(mallory.repo.createRecord({ repo: alice.did, collection, record: post('forged') }))
  await assert.rejects(mallory.repo.deleteRecord({ repo: alice.did, collection, rkey: '3jzfcijpj2z2a' }))
  const { data } = await alice.repo.listRecords({ repo: alice.did, collection })
  assert.deepEqual(data.records, [])
})

test('service tokens are signed with the key in the DID document', async () => {
  const { did, server } = await newAccount()
  const [aud, lxm] = ['did:web:service.example.com', 'com.example.method']
  const { data } = await server.getServiceAuth({ aud, lxm })
  const [header, payload, signature] = data.token.split('.')
  const claims = JSON.parse(Buffer.from(payload, 'base64url'))
  assert.deepEqual([claims.iss, claims.aud, claims.lxm], [did, aud, lxm])
  assert(claims.exp > Date.now() / 1000)
  const signed = Buffer.from(`${header}.${payload}`)
  assert(await verifySignature(await signingKey(did), signed, Buffer.from(signature, 'base64url')))
})

test('unknown methods and repos have their names', async () => {
  const did = 'did:plc:aaaaaaaaaaaaaaaaaaaaaaaa'
  const sync = stranger().com.atproto.sync
  await fails(sync.getRepo({ did }), 'RepoNotFound', 400)
  await fails(sync.getLatestCommit({ did }), 'RepoNotFound', 400)
  await fails(sync.getRepoStatus({ did }), 'RepoNotFound', 400)
  await fails(sync.getBlob({ did, cid: 'bafkreibm6jg3ux5qumhcn2b3flc3tyu6dmlb4xa7u5bf44yegnrjhc4yeq' }), [
    'RepoNotFound',
    'BlobNotFound',
    'InvalidRequest',
  ])
  const response = await fetch(`${url}/xrpc/com.example.unknown`)
  // It may be a method to be proxied, for which somebody has to ask.
  assert(['MethodNotImplemented', 'InvalidRequest', 'AuthMissing'].includes((await response.json()).error))
})
