// SPDX-License-Identifier: Apache-2.0
// The tour of Qdrant's JavaScript client for REST: node _js_rest_tour.mjs URL
import {QdrantClient} from '@qdrant/js-client-rest';
import assert from 'node:assert/strict';
import {UUID, expect, near, refused, run} from './_js_expect.mjs';

const c = new QdrantClient({url: process.argv[2]});
const PLAIN = 'plain', NAMED = 'named';
const Q = [3, 2, 1, 0.25];

// What the client offers and the server does not have yet: it says so, and nothing else happens.
const NOT_BUILT = {
    listShardKeys: () => c.listShardKeys(PLAIN),
    listSnapshots: () => c.listSnapshots(PLAIN),
    createSnapshot: () => c.createSnapshot(PLAIN),
    listFullSnapshots: () => c.listFullSnapshots(),
};

const pairs = (points) => points.map((p) => [p.id, p.score]);
const ids = (points) => points.map((p) => p.id);
const match = (key, value) => ({must: [{key, match: {value}}]});
const status = async (promise) => (await promise).status;

const refusedWith = (what, http, words, call) => refused(what, call, (error) => {
    expect(`${what}: status`, error.status, http);
    const text = JSON.stringify(error.data);
    assert.ok(text.includes(words), `${what}: wanted the words "${words}", got ${text}`);
});

async function collections() {
    expect('version', (await c.versionInfo()).version.split('.').slice(0, 2), ['1', '18']);
    expect('exists before', await c.collectionExists(PLAIN), {exists: false});
    expect('list before', await c.getCollections(), {collections: []});
    expect('create plain', await c.createCollection(PLAIN, {vectors: {size: 4, distance: 'Dot'}}), true);
    expect('create named', await c.createCollection(NAMED, {
        vectors: {text: {size: 2, distance: 'Cosine'}, image: {size: 2, distance: 'Euclid'}},
        sparse_vectors: {words: {}},
    }), true);
    expect('exists after', await c.collectionExists(PLAIN), {exists: true});
    expect('list after', (await c.getCollections()).collections.map((x) => x.name).sort(), [NAMED, PLAIN]);
    await refusedWith('create twice', 409, 'Collection `plain` already exists!',
        () => c.createCollection(PLAIN, {vectors: {size: 4, distance: 'Dot'}}));
}

async function info() {
    const plain = await c.getCollection(PLAIN);
    expect('status', [plain.status, plain.optimizer_status, plain.points_count], ['green', 'ok', 0]);
    expect('vectors', plain.config.params.vectors, {size: 4, distance: 'Dot'});
    expect('hnsw', [plain.config.hnsw_config.m, plain.config.hnsw_config.ef_construct], [16, 100]);
    expect('schema', plain.payload_schema, {});
    const params = (await c.getCollection(NAMED)).config.params;
    expect('named', params.vectors.text, {size: 2, distance: 'Cosine'});
    expect('sparse', Object.keys(params.sparse_vectors), ['words']);
}

async function upsert() {
    expect('a list, wait', await status(c.upsert(PLAIN, {wait: true, points: [
        {id: 1, vector: [1, 0, 0, 0], payload: {city: 'Berlin', n: 1}},
        {id: 2, vector: [0, 1, 0, 0], payload: {city: 'London', n: 2}},
        {id: 3, vector: [2, 1, 0, 0], payload: {city: 'Berlin', n: 3, tags: ['a', 'b'], deep: {x: 1.5, none: null}}},
    ]})), 'completed');
    expect('columns, no wait', await status(c.upsert(PLAIN, {wait: false, batch: {
        ids: [4, UUID],
        vectors: [[0, 0, 1, 0], [0, 0, 0, 2]],
        payloads: [{city: 'Paris', n: 4}, {city: 'Rome', n: 5}],
    }})), 'acknowledged');
    expect('named', await status(c.upsert(NAMED, {wait: true, points: [
        {id: 1, vector: {text: [3, 4], image: [0, 0], words: {indices: [7, 2], values: [0.5, 1]}}},
        {id: 2, vector: {text: [1, 0], image: [3, 4]}},
        {id: 3, vector: {words: {indices: [7], values: [4]}}},
    ]})), 'completed');
    // A write that waits stands behind the one that did not, so that from here on all five are visible.
    expect('again', await status(c.upsert(PLAIN, {wait: true, points: [
        {id: 1, vector: [1, 0, 0, 0], payload: {city: 'Berlin', n: 1}}]})), 'completed');
    expect('count', await c.count(PLAIN, {exact: true}), {count: 5});
}

async function retrieve() {
    expect('records', await c.retrieve(PLAIN, {ids: [3, UUID, 99], with_vector: true}), [
        {id: 3, payload: {city: 'Berlin', n: 3, tags: ['a', 'b'], deep: {x: 1.5, none: null}}, vector: [2, 1, 0, 0]},
        {id: UUID, payload: {city: 'Rome', n: 5}, vector: [0, 0, 0, 2]},
    ]);
    expect('bare', await c.retrieve(PLAIN, {ids: [1], with_payload: false}), [{id: 1}]);
    const only = await c.retrieve(PLAIN, {ids: [3], with_payload: ['n', 'deep.x']});
    expect('only these keys', only, [{id: 3, payload: {n: 3, deep: {x: 1.5}}}]);
    const rest = await c.retrieve(PLAIN, {ids: [3], with_payload: {exclude: ['tags', 'deep']}});
    expect('all but these keys', rest, [{id: 3, payload: {city: 'Berlin', n: 3}}]);
    const [named] = await c.retrieve(NAMED, {ids: [1], with_vector: ['text', 'words']});
    near('cosine vectors are kept normalised', named.vector.text, [0.6, 0.8]);
    expect('sparse', named.vector.words, {indices: [2, 7], values: [1, 0.5]});
    expect('no other', Object.keys(named.vector).sort(), ['text', 'words']);
}

async function scroll() {
    const first = await c.scroll(PLAIN, {limit: 2, with_payload: ['n']});
    expect('first page', first, {points: [{id: 1, payload: {n: 1}}, {id: 2, payload: {n: 2}}], next_page_offset: 3});
    const second = await c.scroll(PLAIN, {limit: 2, offset: 3, with_payload: false});
    expect('second page', second, {points: [{id: 3}, {id: 4}], next_page_offset: UUID});
    const last = await c.scroll(PLAIN, {limit: 2, offset: UUID, with_payload: false});
    expect('last page', last, {points: [{id: UUID}], next_page_offset: null});
    expect('filtered', ids((await c.scroll(PLAIN, {filter: match('city', 'Berlin')})).points), [1, 3]);
    expect('counted', await c.count(PLAIN, {filter: match('city', 'Berlin')}), {count: 2});
}

async function query() {
    const all = [[3, 8], [1, 3], [2, 2], [4, 1], [UUID, 0.5]];
    const of = async (request) => pairs((await c.query(PLAIN, request)).points);
    expect('nearest', await of({query: Q}), all);
    expect('the same, in words', await of({query: {nearest: Q}}), all);
    expect('limit and offset', await of({query: Q, limit: 2, offset: 1}), all.slice(1, 3));
    expect('by id, which is not its own neighbour', await of({query: 3, limit: 2}), [[1, 2], [2, 1]]);
    expect('filter', await of({query: Q, filter: match('city', 'Berlin')}), [[3, 8], [1, 3]]);
    expect('threshold is strict', await of({query: Q, score_threshold: 2}), [[3, 8], [1, 3]]);
    const [full] = (await c.query(PLAIN, {query: Q, limit: 1, with_payload: ['city'], with_vector: true})).points;
    expect('payload and vector', [full.payload, full.vector], [{city: 'Berlin'}, [2, 1, 0, 0]]);
    const [bare] = (await c.query(PLAIN, {query: Q, limit: 1})).points;
    expect('bare', Object.keys(bare).sort(), ['id', 'score', 'version']);
    const cosine = (await c.query(NAMED, {query: [1, 0], using: 'text'})).points;
    near('cosine', cosine.map((p) => p.score), [1, 0.6]);
    expect('euclid: smaller is nearer',
        pairs((await c.query(NAMED, {query: [0, 0], using: 'image'})).points), [[1, 0], [2, 5]]);
    expect('sparse', pairs((await c.query(NAMED, {
        query: {indices: [2, 7], values: [2, 1]}, using: 'words'})).points), [[3, 4], [1, 2.5]]);
    const batch = await c.queryBatch(PLAIN, {searches: [{query: Q, limit: 1}, {query: 1, limit: 1}]});
    expect('batch', batch.map((b) => pairs(b.points)), [[[3, 8]], [[3, 2]]]);
}

async function legacySearch() {
    expect('search', pairs(await c.search(PLAIN, {vector: Q, limit: 2})), [[3, 8], [1, 3]]);
    expect('named', pairs(await c.search(NAMED, {vector: {name: 'image', vector: [0, 0]}, limit: 9})), [[1, 0], [2, 5]]);
    expect('sparse', pairs(await c.search(NAMED, {
        vector: {name: 'words', vector: {indices: [2], values: [2]}}, limit: 9})), [[1, 2]]);
    const batch = await c.searchBatch(PLAIN, {searches: [
        {vector: Q, limit: 1}, {vector: Q, limit: 1, filter: match('city', 'Paris'), with_payload: true}]});
    expect('batch', batch.map(pairs), [[[3, 8]], [[4, 1]]]);
    expect('payload in a batch', batch[1][0].payload, {city: 'Paris', n: 4});
}

// The other forms, and the older methods that ask for them.
async function otherForms() {
    const of = async (request) => pairs((await c.query(PLAIN, request)).points);
    const two = [{query: Q, limit: 3}, {query: [0, 1, 0, 0], limit: 2}];
    expect('recommend', await of({query: {recommend: {positive: [1]}}, limit: 1}), [[3, 2]]);
    expect('fusion', (await of({prefetch: two, query: {fusion: 'rrf'}})).map(([id]) => id), [3, 2, 1]);
    expect('formula', await of({prefetch: two[0], query: {formula: {sum: ['$score', 'n']}}, limit: 2}), [[3, 11], [1, 4]]);
    expect('older recommend', pairs(await c.recommend(PLAIN, {positive: [1], limit: 1})), [[3, 2]]);
    const batch = await c.recommendBatch(PLAIN, {searches: [{positive: [1], limit: 1}]});
    expect('batch', batch.map(pairs), [[[3, 2]]]);
    const target = {target: [0, 0, 0, 1], context: [{positive: 1, negative: 2}], limit: 1};
    expect('discover', pairs(await c.discoverPoints(PLAIN, target)), [[3, 1.5]]);
    const by = {group_by: 'city', limit: 2, group_size: 2};
    const groups = [['Berlin', [3, 1]], ['London', [2]]];
    for (const answer of [await c.queryGroups(PLAIN, {query: Q, ...by}), await c.searchPointGroups(PLAIN, {vector: Q, ...by})]) {
        expect('groups', answer.groups.map((g) => [g.id, ids(g.hits)]), groups);
    }
    const matrix = await c.searchMatrixPairs(PLAIN, {sample: 10, limit: 1});
    expect('pairs', matrix.pairs.slice(0, 2), [{a: 1, b: 3, score: 2}, {a: 2, b: 3, score: 1}]);
    expect('offsets', (await c.searchMatrixOffsets(PLAIN, {sample: 10, limit: 1})).offsets_col.slice(0, 3), [2, 2, 0]);
    await refusedWith('order', 400, 'No range index for `order_by` key: `n`', () => c.scroll(PLAIN, {order_by: 'n'}));
    await c.createPayloadIndex(PLAIN, {field_name: 'n', field_schema: 'integer', wait: true});
    expect('order', ids((await c.scroll(PLAIN, {order_by: {key: 'n', direction: 'desc'}, limit: 2})).points), [UUID, 4]);
    await c.deletePayloadIndex(PLAIN, 'n', {wait: true});
}

async function payload() {
    const of = async (id) => (await c.retrieve(PLAIN, {ids: [id]}))[0].payload;
    expect('set', await status(c.setPayload(PLAIN, {payload: {new: true, n: 10}, points: [1]})), 'completed');
    expect('set merges', await of(1), {city: 'Berlin', n: 10, new: true});
    await c.setPayload(PLAIN, {payload: {uk: 1}, filter: match('city', 'London')});
    expect('set by filter', await of(2), {city: 'London', n: 2, uk: 1});
    expect('overwrite', await status(c.overwritePayload(PLAIN, {payload: {only: 'this'}, points: [1]})), 'completed');
    expect('overwrite replaces', await of(1), {only: 'this'});
    expect('delete', await status(c.deletePayload(PLAIN, {keys: ['uk', 'absent'], points: [2]})), 'completed');
    expect('delete removes', await of(2), {city: 'London', n: 2});
    expect('clear', await status(c.clearPayload(PLAIN, {points: [1]})), 'completed');
    expect('clear removes all', await of(1), {});
}

async function vectors() {
    const of = async (id) => (await c.retrieve(NAMED, {ids: [id], with_vector: true}))[0].vector;
    await c.updateVectors(NAMED, {wait: true, points: [{id: 2, vector: {image: [6, 8]}}]});
    expect('only the named one changes', await of(2), {image: [6, 8], text: [1, 0]});
    await c.deleteVectors(NAMED, {wait: true, points: [2], vector: ['image']});
    expect('only the named one goes', await of(2), {text: [1, 0]});
}

async function batch() {
    const results = await c.batchUpdate(PLAIN, {wait: true, operations: [
        {upsert: {points: [{id: 50, vector: [9, 0, 0, 0], payload: {n: 50}}]}},
        {set_payload: {payload: {b: 1}, points: [50]}},
        {delete_payload: {keys: ['n'], points: [50]}},
        {update_vectors: {points: [{id: 50, vector: [0, 9, 0, 0]}]}},
        {delete: {points: [4]}},
    ]});
    expect('statuses', results.map((r) => r.status), Array(5).fill('completed'));
    expect('in order', await c.retrieve(PLAIN, {ids: [4, 50], with_vector: true}),
        [{id: 50, payload: {b: 1}, vector: [0, 9, 0, 0]}]);
}

async function indexes() {
    const create = (field_name, field_schema) => status(c.createPayloadIndex(PLAIN, {wait: true, field_name, field_schema}));
    expect('keyword', await create('city', 'keyword'), 'completed');
    expect('integer', await create('n', {type: 'integer', lookup: false, range: true}), 'completed');
    const schema = (await c.getCollection(PLAIN)).payload_schema;
    expect('schema', schema, {
        city: {data_type: 'keyword', points: 3},
        n: {data_type: 'integer', points: 3, params: {type: 'integer', lookup: false, range: true}},
    });
    expect('indexed filter', ids((await c.scroll(PLAIN, {filter: match('city', 'Berlin')})).points), [3]);
    expect('delete', await status(c.deletePayloadIndex(PLAIN, 'city', {wait: true})), 'completed');
    expect('schema after', Object.keys((await c.getCollection(PLAIN)).payload_schema), ['n']);
}

async function refusals() {
    await refusedWith('info of nowhere', 404, "Collection `nowhere` doesn't exist!", () => c.getCollection('nowhere'));
    await refusedWith('query nowhere', 404, "Collection `nowhere` doesn't exist!", () => c.query('nowhere', {query: [1]}));
    const dimension = 'Vector dimension error: expected dim: 4, got 3';
    await refusedWith('upsert', 400, dimension, () => c.upsert(PLAIN, {points: [{id: 7, vector: [1, 2, 3]}]}));
    await refusedWith('query', 400, dimension, () => c.query(PLAIN, {query: [1, 2, 3]}));
    await refusedWith('name', 400, 'Not existing vector name error: sound',
        () => c.query(NAMED, {query: [1, 2], using: 'sound'}));
    await refusedWith('payload of a missing point', 404, 'No point with id 777 found',
        () => c.setPayload(PLAIN, {payload: {a: 1}, points: [777]}));
    expect('nothing of it was stored', await c.retrieve(PLAIN, {ids: [7, 777]}), []);
    for (const [what, call] of Object.entries(NOT_BUILT)) {
        await refusedWith(what, 501, 'Not implemented', call);
    }
}

async function aliases() {
    expect('create', await c.updateCollectionAliases({actions: [
        {create_alias: {collection_name: PLAIN, alias_name: 'other'}}]}), true);
    expect('all', await c.getAliases(), {aliases: [{alias_name: 'other', collection_name: PLAIN}]});
    expect('by alias', (await c.collectionExists('other')).exists, true);
    expect('delete', await c.updateCollectionAliases({actions: [{delete_alias: {alias_name: 'other'}}]}), true);
    expect('aliases of one', await c.getCollectionAliases(PLAIN), {aliases: []});
}

async function deletion() {
    expect('by ids', await status(c.delete(PLAIN, {wait: true, points: [1, 99]})), 'completed');
    expect('by filter', await status(c.delete(PLAIN, {wait: true, filter: match('city', 'London')})), 'completed');
    expect('left', ids((await c.scroll(PLAIN)).points), [3, 50, UUID]);
    expect('update', await c.updateCollection(PLAIN, {optimizers_config: {indexing_threshold: 5000}}), true);
    expect('updated', (await c.getCollection(PLAIN)).config.optimizer_config.indexing_threshold, 5000);
    expect('delete a collection', await c.deleteCollection(PLAIN), true);
    expect('it is gone', await c.collectionExists(PLAIN), {exists: false});
    expect('delete it again', await c.deleteCollection(PLAIN), false);
    await refusedWith('and cannot be read', 404, "Collection `plain` doesn't exist!", () => c.scroll(PLAIN));
}

await run([collections, info, upsert, retrieve, scroll, query, legacySearch, otherForms, payload, vectors, batch, indexes,
    refusals, aliases, deletion]);
