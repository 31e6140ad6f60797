// What people set in their apps, by the calls that apps make: @atproto/api reads the whole list, changes one thing in it and
// writes it back.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AtpAgent } from '@atproto/api'
import { fails, newAccount, stranger, url } from './harness.mjs'

test('what is set in one app is so in the next', async () => {
  const { agent, handle, server } = await newAccount()
  const feed = 'at://did:plc:aaaaaaaaaaaaaaaaaaaaaaaa/app.bsky.feed.generator/cats'
  await agent.setAdultContentEnabled(true)
  await agent.setContentLabelPref('porn', 'hide')
  await agent.addSavedFeeds([{ type: 'feed', value: feed, pinned: true }])
  await agent.setFeedViewPrefs('home', { hideReposts: true })
  await agent.setThreadViewPrefs({ sort: 'newest' })
  await agent.setInterestsPref({ tags: ['tea'] })
  await agent.addMutedWord({ value: 'marzipan', targets: ['content'] })
  await agent.addMutedWord({ value: 'nougat', targets: ['tag'] })
  await agent.hidePost('at://did:plc:aaaaaaaaaaaaaaaaaaaaaaaa/app.bsky.feed.post/3jzfcijpj2z2a')
  await agent.addLabeler('did:plc:aaaaaaaaaaaaaaaaaaaaaaaa')
  await agent.bskyAppQueueNudges(['new-feature'])
  await agent.setVerificationPrefs({ hideBadges: true })
  await agent.setPersonalDetails({ birthDate: new Date('1990-05-01T00:00:00.000Z') })

  const { mutedWords } = (await agent.getPreferences()).moderationPrefs
  await agent.updateMutedWord({ ...mutedWords[0], value: 'praline' })
  await agent.removeMutedWord(mutedWords[1])

  const { password } = (await server.createAppPassword({ name: 'tablet' })).data
  const own = await agent.getPreferences()
  assert.equal(own.moderationPrefs.adultContentEnabled, true)
  assert.equal(own.moderationPrefs.labels.porn, 'hide')
  assert.deepEqual(own.savedFeeds.map(({ value, pinned }) => [value, pinned]), [[feed, true]])
  assert.equal(own.feedViewPrefs.home.hideReposts, true)
  assert.equal(own.threadViewPrefs.sort, 'newest')
  assert.deepEqual(own.interests.tags, ['tea'])
  assert.deepEqual(own.moderationPrefs.mutedWords.map((word) => word.value), ['praline'])
  assert.equal(own.moderationPrefs.hiddenPosts.length, 1)
  assert.equal(own.moderationPrefs.labelers.at(-1).did, 'did:plc:aaaaaaaaaaaaaaaaaaaaaaaa')
  assert.deepEqual(own.bskyAppState.queuedNudges, ['new-feature'])
  assert.equal(own.verificationPrefs.hideBadges, true)
  assert.equal(own.birthDate.toISOString(), '1990-05-01T00:00:00.000Z')
  assert.equal(own.declaredAge.isOverAge18, true)

  // With an app password it is all the same but the birth date, which stays where it is.
  const tablet = new AtpAgent({ service: url })
  await tablet.login({ identifier: handle, password })
  const seen = await tablet.getPreferences()
  assert.equal(seen.birthDate, undefined)
  assert.deepEqual({ ...seen, birthDate: own.birthDate }, own)
  await tablet.unhidePost('at://did:plc:aaaaaaaaaaaaaaaaaaaaaaaa/app.bsky.feed.post/3jzfcijpj2z2a')
  const after = await agent.getPreferences()
  assert.deepEqual([after.moderationPrefs.hiddenPosts, after.birthDate], [[], own.birthDate])
})

test('what is changed at once in one app is all there', async () => {
  const { agent } = await newAccount()
  // The client takes turns with itself; each turn has to see what the one before it wrote.
  await Promise.all(['a', 'b', 'c', 'd'].map((value) => agent.addMutedWord({ value, targets: ['content'] })))
  const { mutedWords } = (await agent.getPreferences()).moderationPrefs
  assert.deepEqual(mutedWords.map((word) => word.value).toSorted(), ['a', 'b', 'c', 'd'])
})

test("nobody reads or sets another's, and what is no preference is refused", async () => {
  const { agent } = await newAccount()
  await agent.addMutedWord({ value: 'marzipan', targets: ['content'] })
  const other = await newAccount()
  assert.deepEqual((await other.agent.getPreferences()).moderationPrefs.mutedWords, [])
  const nobody = stranger().app.bsky.actor
  await fails(nobody.getPreferences({}), 'AuthMissing', 401)
  await fails(nobody.putPreferences({ preferences: [] }), 'AuthMissing', 401)
  const { actor } = agent.app.bsky
  await fails(actor.putPreferences({ preferences: [{ $type: 'com.example.pref' }] }), 'InvalidRequest', 400)
  // The client would add what is missing, or not send it.
  const headers = { authorization: `Bearer ${agent.session.accessJwt}`, 'content-type': 'application/json' }
  for (const preferences of [undefined, 'none', [{ enabled: true }]]) {
    const body = JSON.stringify({ preferences })
    const response = await fetch(`${url}/xrpc/app.bsky.actor.putPreferences`, { method: 'POST', headers, body })
    assert.deepEqual([response.status, (await response.json()).error], [400, 'InvalidRequest'], body)
  }
  assert.equal((await agent.getPreferences()).moderationPrefs.mutedWords.length, 1)
})
