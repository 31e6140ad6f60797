// com.atproto.admin as operators' tools call it: by @atproto/api with HTTP Basic credentials, the user `admin` and the token.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AtpAgent } from '@atproto/api'
import { adminToken, fails, newAccount, newHandle, password, stranger, url } from './harness.mjs'

const options = { skip: !adminToken }

/** A client that is the operator's. */
function operator(secret = adminToken) {
  const agent = new AtpAgent({ service: url })
  agent.setHeader('authorization', `Basic ${Buffer.from(`admin:${secret}`).toString('base64')}`)
  return agent.com.atproto
}

const repoRef = (did) => ({ $type: 'com.atproto.admin.defs#repoRef', did })

test('accounts are seen by their operator and by nobody else', options, async () => {
  const [one, two] = [await newAccount(), await newAccount()]
  const { admin, sync } = operator()
  const { data: info } = await admin.getAccountInfo({ did: one.did })
  assert.deepEqual([info.did, info.handle], [one.did, one.handle])
  assert.equal(info.email, `${one.handle.split('.')[0]}@example.com`)
  assert(Date.parse(info.indexedAt) <= Date.now())
  const { infos } = (await admin.getAccountInfos({ dids: [one.did, two.did] })).data
  assert.deepEqual(infos.map(({ did }) => did).toSorted(), [one.did, two.did].toSorted())
  const { accounts } = (await admin.searchAccounts({ email: info.email })).data
  assert.deepEqual(accounts.map(({ did }) => did), [one.did])
  // As tools find all accounts: what is hosted, page by page.
  const hosted = []
  let cursor
  do {
    const { data } = await sync.listRepos({ limit: 2, cursor })
    hosted.push(...data.repos.map(({ did }) => did))
    cursor = data.cursor
  } while (cursor)
  assert(hosted.includes(one.did) && hosted.includes(two.did))

  await fails(stranger().com.atproto.admin.getAccountInfo({ did: one.did }), 'AuthMissing', 401)
  await fails(one.agent.com.atproto.admin.getAccountInfo({ did: one.did }), 'AuthenticationRequired', 401)
  await fails(operator('wrong').admin.getAccountInfo({ did: one.did }), 'AuthenticationRequired', 401)
  await fails(operator('').admin.getAccountInfo({ did: one.did }), ['AuthenticationRequired', 'InvalidToken'])
  await fails(admin.getAccountInfo({ did: 'did:plc:aaaaaaaaaaaaaaaaaaaaaaaa' }), 'NotFound', 400)
})

test('a takedown and its end', options, async () => {
  const { agent, did, handle, repo } = await newAccount()
  const { admin } = operator()
  const { uri, cid } = await agent.post({ text: 'bad words' })
  const [collection, rkey] = uri.split('/').slice(-2)
  const strongRef = { $type: 'com.atproto.repo.strongRef', uri, cid }
  const set = (subject, applied, ref) => admin.updateSubjectStatus({ subject, takedown: { applied, ref } })

  await set(strongRef, true, 'case 7')
  await fails(stranger().com.atproto.repo.getRecord({ repo: did, collection, rkey }), 'RecordNotFound', 400)
  assert.deepEqual((await admin.getSubjectStatus({ uri })).data.takedown, { applied: true, ref: 'case 7' })
  await set(strongRef, false)
  await stranger().com.atproto.repo.getRecord({ repo: did, collection, rkey })

  await set(repoRef(did), true, 'case 8')
  assert.deepEqual((await admin.getSubjectStatus({ did })).data.takedown, { applied: true, ref: 'case 8' })
  await fails(stranger().com.atproto.sync.getRepo({ did }), 'RepoTakendown', 400)
  const { active, status } = (await stranger().com.atproto.sync.getRepoStatus({ did })).data
  assert.deepEqual([active, status], [false, 'takendown'])
  await fails(stranger().login({ identifier: handle, password }), 'AccountTakedown', 401)
  await assert.rejects(repo.createRecord({ repo: did, collection, record: { text: 'more' } }))
  const leaving = stranger()
  await leaving.login({ identifier: handle, password, allowTakendown: true })
  assert.ok((await leaving.com.atproto.sync.getRepo({ did })).data.length > 100)
  const lxm = 'com.atproto.server.createAccount'
  assert.ok((await leaving.com.atproto.server.getServiceAuth({ aud: 'did:web:new.example', lxm })).data.token)
  await fails(leaving.com.atproto.repo.createRecord({ repo: did, collection, record: { text: 'more' } }), 'InvalidToken', 400)
  await set(repoRef(did), false)
  const back = stranger()
  await back.login({ identifier: handle, password })
  await back.post({ text: 'better words' })
})

test('a blob that was taken down is served no more', options, async () => {
  const { agent, did } = await newAccount()
  const { admin } = operator()
  const png = Buffer.from('iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==', 'base64')
  const { blob } = (await agent.uploadBlob(png, { encoding: 'image/png' })).data
  await agent.post({ text: 'look', embed: { $type: 'app.bsky.embed.images', images: [{ alt: 'a dot', image: blob }] } })
  const cid = blob.ref.toString()
  const subject = { $type: 'com.atproto.admin.defs#repoBlobRef', did, cid }
  await admin.updateSubjectStatus({ subject, takedown: { applied: true } })
  assert.equal((await admin.getSubjectStatus({ did, blob: cid })).data.takedown.applied, true)
  await fails(stranger().com.atproto.sync.getBlob({ did, cid }), 'BlobNotFound', 400)
  await admin.updateSubjectStatus({ subject, takedown: { applied: false } })
  assert.equal((await stranger().com.atproto.sync.getBlob({ did, cid })).data.length, png.length)
})

test('what an operator sets of an account', options, async () => {
  const { did, handle, agent } = await newAccount()
  const other = await newAccount()
  const { admin } = operator()
  const renamed = newHandle('renamed')
  await admin.updateAccountHandle({ did, handle: renamed })
  assert.equal((await stranger().resolveHandle({ handle: renamed })).data.did, did)
  await fails(stranger().resolveHandle({ handle }), 'HandleNotFound', 400)
  await fails(admin.updateAccountHandle({ did, handle: other.handle }), 'HandleNotAvailable', 400)

  const email = `${renamed.split('.')[0]}@example.net`
  await admin.updateAccountEmail({ account: did, email })
  assert.equal((await agent.com.atproto.server.getSession()).data.email, email)
  assert.equal((await agent.com.atproto.server.getSession()).data.emailConfirmed, false)

  await admin.updateAccountPassword({ did, password: 'another battery' })
  await fails(stranger().login({ identifier: renamed, password }), 'AuthenticationRequired', 401)
  await stranger().login({ identifier: renamed, password: 'another battery' })
  await assert.rejects(agent.sessionManager.refreshSession(), 'the password before opens nothing any more')

  await admin.deleteAccount({ did })
  await fails(stranger().com.atproto.sync.getRepo({ did }), 'RepoNotFound', 400)
  await fails(stranger().login({ identifier: did, password: 'another battery' }), 'AuthenticationRequired', 401)
  await fails(admin.getAccountInfo({ did }), 'NotFound', 400)
})

test('invite codes', options, async () => {
  const { did, server } = await newAccount()
  const { admin, server: byOperator } = operator()
  const { codes } = (await byOperator.createInviteCodes({ codeCount: 2, useCount: 1, forAccounts: [did] })).data
  assert.equal(codes[0].account, did)
  const [first, second] = codes[0].codes
  const { code } = (await byOperator.createInviteCode({ useCount: 1 })).data
  const { data: own } = await server.getAccountInviteCodes({})
  assert.deepEqual(own.codes.map(({ code }) => code).toSorted(), [first, second].toSorted())

  const handle = newHandle('invited')
  const join = (inviteCode, handle) => stranger().createAccount({ handle, email: `${handle.split('.')[0]}@example.com`, password, inviteCode })
  await join(first, handle)
  await fails(join(first, newHandle('invited')), 'InvalidInviteCode', 400)
  await admin.disableInviteCodes({ codes: [second] })
  await fails(join(second, newHandle('invited')), 'InvalidInviteCode', 400)

  const all = []
  let cursor
  do {
    const { data } = await admin.getInviteCodes({ sort: 'recent', limit: 2, cursor })
    all.push(...data.codes)
    cursor = data.cursor
  } while (cursor)
  const find = (wanted) => all.find(({ code }) => code === wanted)
  assert.equal(find(first).uses.length, 1)
  assert.equal(find(second).disabled, true)
  assert.equal(find(code).available, 1)
  const invited = (await stranger().resolveHandle({ handle })).data.did
  assert.equal((await admin.getAccountInfo({ did: invited })).data.invitedBy.code, first)

  await admin.disableAccountInvites({ account: did })
  assert.equal((await admin.getAccountInfo({ did })).data.invitesDisabled, true)
  await admin.enableAccountInvites({ account: did })
  assert.equal((await admin.getAccountInfo({ did })).data.invitesDisabled, false)
})
