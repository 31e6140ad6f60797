// @atproto/repo proves what the server hands out: repos, differences, records, with the key of the DID document.

import assert from 'node:assert/strict'
import { before, test } from 'node:test'
import { parseCid } from '@atproto/lex-data'
import {
  MemoryBlockstore,
  Repo,
  readCar,
  readCarWithRoot,
  verifyDiffCar,
  verifyProofs,
  verifyRecords,
  verifyRepoCar,
} from '@atproto/repo'
import { bytes, newAccount, post, signingKey, stranger } from './harness.mjs'

const collection = 'app.bsky.feed.post'
const sync = stranger().com.atproto.sync
let account, did, key

const write = async (count, text) => {
  const writes = Array.from({ length: count }, (_, number) => ({
    $type: 'com.atproto.repo.applyWrites#create',
    collection,
    value: post(`${text} ${number}`),
  }))
  return (await account.repo.applyWrites({ repo: did, writes })).data
}

before(async () => {
  account = await newAccount('repo')
  did = account.did
  key = await signingKey(did)
})

test('a new repo verifies', async () => {
  const { creates, commit } = await verifyRepoCar(await bytes('com.atproto.sync.getRepo', { did }), did, key)
  assert.equal(creates.length, 0)
  assert.equal(commit.rev, (await sync.getLatestCommit({ did })).data.rev)
})

test('a repo of hundreds of records verifies and has all of them', async () => {
  for (let round = 0; round < 3; round++) await write(150, `round ${round}`)
  const { creates, commit } = await verifyRepoCar(await bytes('com.atproto.sync.getRepo', { did }), did, key)
  assert.equal(creates.length, 450)

  const listed = new Map()
  let cursor
  do {
    const { data } = await account.repo.listRecords({ repo: did, collection, limit: 100, cursor })
    for (const record of data.records) listed.set(record.uri.split('/').at(-1), record.cid)
    cursor = data.cursor
  } while (cursor)
  assert.equal(listed.size, 450)
  for (const create of creates) assert.equal(String(create.cid), listed.get(create.rkey))

  const { data: latest } = await sync.getLatestCommit({ did })
  assert.equal(latest.rev, commit.rev)
})

test('what changed since a revision verifies against the older repo', async () => {
  const full = await bytes('com.atproto.sync.getRepo', { did })
  const { root, blocks } = await readCarWithRoot(full)
  const old = await Repo.load(new MemoryBlockstore(blocks), root)
  const kept = await account.repo.listRecords({ repo: did, collection, limit: 2 })
  const [removed, updated] = kept.data.records.map((record) => record.uri.split('/').at(-1))
  await write(20, 'later')
  await account.repo.deleteRecord({ repo: did, collection, rkey: removed })
  await account.repo.putRecord({ repo: did, collection, rkey: updated, record: post('updated') })

  const slice = await bytes('com.atproto.sync.getRepo', { did, since: old.commit.rev })
  assert(slice.length < full.length / 2, 'the difference is as large as the repo')
  const { writes } = await verifyDiffCar(old, slice, did, key)
  const count = (action) => writes.filter((write) => write.action === action).length
  assert.deepEqual([count('create'), count('update'), count('delete')], [20, 1, 1])
})

test('a record is proven, and so is that there is none', async () => {
  const { data } = await account.repo.listRecords({ repo: did, collection, limit: 1 })
  const record = data.records[0]
  const rkey = record.uri.split('/').at(-1)
  const proof = await bytes('com.atproto.sync.getRecord', { did, collection, rkey })
  const claim = { collection, rkey, cid: parseCid(record.cid) }
  assert.equal((await verifyProofs(proof, [claim], did, key)).verified.length, 1)
  const [read] = await verifyRecords(proof, did, key)
  assert.equal(read.record.text, record.value.text)

  const nothing = { collection, rkey: '2222222222222', cid: null }
  const absence = await bytes('com.atproto.sync.getRecord', { did, collection, rkey: nothing.rkey })
  assert.equal((await verifyProofs(absence, [nothing], did, key)).verified.length, 1)
  const lie = { ...claim, cid: null }
  assert.equal((await verifyProofs(proof, [lie], did, key)).unverified.length, 1)
})

test('blocks are handed out one by one', async () => {
  const { data: latest } = await sync.getLatestCommit({ did })
  const { data } = await account.repo.listRecords({ repo: did, collection, limit: 3 })
  const cids = [latest.cid, ...data.records.map((record) => record.cid)]
  const { blocks } = await readCar(await bytes('com.atproto.sync.getBlocks', { did, cids }))
  for (const cid of cids) assert(blocks.has(parseCid(cid)), `${cid} is missing`)
})

test('repos are listed with their status', async () => {
  const found = []
  let cursor
  do {
    const { data } = await sync.listRepos({ limit: 5, cursor })
    found.push(...data.repos)
    cursor = data.cursor
  } while (cursor)
  const ours = found.filter((repo) => repo.did === did)
  assert.equal(ours.length, 1)
  const { data: latest } = await sync.getLatestCommit({ did })
  assert.deepEqual([ours[0].head, ours[0].rev, ours[0].active], [latest.cid, latest.rev, true])
  const { data: status } = await sync.getRepoStatus({ did })
  assert.deepEqual([status.did, status.active, status.rev], [did, true, latest.rev])
})
