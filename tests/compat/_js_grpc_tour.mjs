// SPDX-License-Identifier: Apache-2.0
// The tour of Qdrant's JavaScript client for gRPC: node _js_grpc_tour.mjs URL GRPC_ADDRESS
// Its messages are protobuf's: integers are BigInt, and a oneof is {case, value}.
import {QdrantClient} from '@qdrant/js-client-grpc';
import assert from 'node:assert/strict';
import {UUID, expect, near, refused, run} from './_js_expect.mjs';

const client = new QdrantClient({url: `http://${process.argv[3]}`});
const collectionsApi = client.api('collections'), points = client.api('points'), service = client.api('service');
const PLAIN = 'plain', NAMED = 'named';
const COSINE = 1, EUCLID = 2, DOT = 3;
const GREEN = 1, ACKNOWLEDGED = 1, COMPLETED = 2, KEYWORD = 1;
const NOT_FOUND = 5, ALREADY_EXISTS = 6, INVALID_ARGUMENT = 3, UNIMPLEMENTED = 12;
const Q = [3, 2, 1, 0.25];

// ---- what a person would write, as messages and back

const id = (x) => ({pointIdOptions: typeof x === 'number' ? {case: 'num', value: BigInt(x)} : {case: 'uuid', value: x}});
const idBack = ({pointIdOptions: {case: kind, value}}) => kind === 'num' ? Number(value) : value;

function value(x) {
    if (x === null) return {kind: {case: 'nullValue', value: 0}};
    if (typeof x === 'boolean') return {kind: {case: 'boolValue', value: x}};
    if (typeof x === 'string') return {kind: {case: 'stringValue', value: x}};
    if (Number.isInteger(x)) return {kind: {case: 'integerValue', value: BigInt(x)}};
    if (typeof x === 'number') return {kind: {case: 'doubleValue', value: x}};
    if (Array.isArray(x)) return {kind: {case: 'listValue', value: {values: x.map(value)}}};
    return {kind: {case: 'structValue', value: {fields: fields(x)}}};
}
const fields = (object) => Object.fromEntries(Object.entries(object).map(([k, v]) => [k, value(v)]));

function valueBack({kind}) {
    switch (kind.case) {
    case 'nullValue': return null;
    case 'integerValue': return Number(kind.value);
    case 'listValue': return kind.value.values.map(valueBack);
    case 'structValue': return fieldsBack(kind.value.fields);
    default: return kind.value;
    }
}
const fieldsBack = (map) => Object.fromEntries(Object.entries(map).map(([k, v]) => [k, valueBack(v)]));

const oneVector = (x) => ({vector: Array.isArray(x) ? {case: 'dense', value: {data: x}} : {case: 'sparse', value: x}});
const vectors = (x) => ({vectorsOptions: Array.isArray(x)
    ? {case: 'vector', value: oneVector(x)}
    : {case: 'vectors', value: {vectors: Object.fromEntries(Object.entries(x).map(([k, v]) => [k, oneVector(v)]))}}});
const oneBack = ({vector: {case: kind, value: v}}) => kind === 'dense' ? v.data : {indices: v.indices, values: v.values};

function vectorsBack(output) {
    if (output === undefined) return undefined;
    const {case: kind, value: v} = output.vectorsOptions;
    if (kind === 'vector') return oneBack(v);
    return Object.fromEntries(Object.entries(v.vectors).map(([k, one]) => [k, oneBack(one)]));
}

const point = (pointId, vector, payload = {}) => ({id: id(pointId), vectors: vectors(vector), payload: fields(payload)});
const record = (p) => [idBack(p.id), fieldsBack(p.payload), vectorsBack(p.vectors)];
const pairs = (result) => result.map((p) => [idBack(p.id), p.score]);
const listed = (...list) => ({pointsSelectorOneOf: {case: 'points', value: {ids: list.map(id)}}});
const matching = (key, keyword) => ({must: [{conditionOneOf: {
    case: 'field', value: {key, match: {matchValue: {case: 'keyword', value: keyword}}}}}]});
const nearest = (input) => ({variant: {case: 'nearest', value: {variant: input}}});
const dense = (data) => nearest({case: 'dense', value: {data}});
const enable = {selectorOptions: {case: 'enable', value: true}};
const include = (...list) => ({selectorOptions: {case: 'include', value: {fields: list}}});

const refusedWith = (what, code, words, call) => refused(what, call, (error) => {
    expect(`${what}: code`, error.code, code);
    assert.ok(error.rawMessage.includes(words), `${what}: wanted the words "${words}", got ${error.rawMessage}`);
});

// What the client offers and the server does not have yet: it says so, and nothing else happens.
const NOT_BUILT = {
    listShardKeys: () => collectionsApi.listShardKeys({collectionName: PLAIN}),
    'snapshots list': () => client.api('snapshots').list({collectionName: PLAIN}),
    'snapshots create': () => client.api('snapshots').create({collectionName: PLAIN}),
};

// ---- the tour

async function create() {
    expect('version', (await service.healthCheck({})).version.split('.').slice(0, 2), ['1', '18']);
    expect('exists before', (await collectionsApi.collectionExists({collectionName: PLAIN})).result.exists, false);
    const plain = {collectionName: PLAIN, vectorsConfig: {config: {case: 'params', value: {size: 4n, distance: DOT}}}};
    expect('create plain', (await collectionsApi.create(plain)).result, true);
    expect('create named', (await collectionsApi.create({
        collectionName: NAMED,
        vectorsConfig: {config: {case: 'paramsMap', value: {map: {
            text: {size: 2n, distance: COSINE}, image: {size: 2n, distance: EUCLID}}}}},
        sparseVectorsConfig: {map: {words: {}}},
    })).result, true);
    expect('exists after', (await collectionsApi.collectionExists({collectionName: PLAIN})).result.exists, true);
    expect('list', (await collectionsApi.list({})).collections.map((x) => x.name).sort(), [NAMED, PLAIN]);
    await refusedWith('create twice', ALREADY_EXISTS, 'Collection `plain` already exists!',
        () => collectionsApi.create(plain));
}

async function info() {
    const {result} = await collectionsApi.get({collectionName: PLAIN});
    expect('status', [result.status, result.optimizerStatus.ok, result.pointsCount], [GREEN, true, 0n]);
    const params = result.config.params.vectorsConfig.config;
    expect('vectors', [params.case, params.value.size, params.value.distance], ['params', 4n, DOT]);
    expect('hnsw', [result.config.hnswConfig.m, result.config.hnswConfig.efConstruct], [16n, 100n]);
    const named = (await collectionsApi.get({collectionName: NAMED})).result.config.params;
    expect('names', Object.keys(named.vectorsConfig.config.value.map).sort(), ['image', 'text']);
    expect('sparse', Object.keys(named.sparseVectorsConfig.map), ['words']);
}

async function upsert() {
    expect('wait', (await points.upsert({collectionName: PLAIN, wait: true, points: [
        point(1, [1, 0, 0, 0], {city: 'Berlin', n: 1}),
        point(2, [0, 1, 0, 0], {city: 'London', n: 2}),
        point(3, [2, 1, 0, 0], {city: 'Berlin', n: 3, tags: ['a', 'b'], deep: {x: 1.5, none: null}}),
    ]})).result.status, COMPLETED);
    // More than 1,024 bytes: the client compresses it.
    expect('no wait, compressed', (await points.upsert({collectionName: PLAIN, points: [
        point(4, [0, 0, 1, 0], {city: 'Paris', n: 4, long: 'na '.repeat(2000)}),
        point(UUID, [0, 0, 0, 2], {city: 'Rome', n: 5})]})).result.status, ACKNOWLEDGED);
    expect('named', (await points.upsert({collectionName: NAMED, wait: true, points: [
        point(1, {text: [3, 4], image: [0, 0], words: {indices: [7, 2], values: [0.5, 1]}}),
        point(2, {text: [1, 0], image: [3, 4]}),
        point(3, {words: {indices: [7], values: [4]}})]})).result.status, COMPLETED);
    // A write that waits stands behind the one that did not, so that from here on all five are visible.
    await points.upsert({collectionName: PLAIN, wait: true, points: [point(1, [1, 0, 0, 0], {city: 'Berlin', n: 1})]});
    expect('count', (await points.count({collectionName: PLAIN, exact: true})).result.count, 5n);
}

async function read() {
    const got = await points.get({
        collectionName: PLAIN, ids: [3, UUID, 99].map(id), withPayload: enable, withVectors: enable});
    expect('records', got.result.map(record), [
        [3, {city: 'Berlin', n: 3, tags: ['a', 'b'], deep: {x: 1.5, none: null}}, [2, 1, 0, 0]],
        [UUID, {city: 'Rome', n: 5}, [0, 0, 0, 2]]]);
    const only = await points.get({collectionName: PLAIN, ids: [id(3)], withPayload: include('n', 'deep.x')});
    expect('only these keys', only.result.map(record), [[3, {n: 3, deep: {x: 1.5}}, undefined]]);
    const long = await points.get({collectionName: PLAIN, ids: [id(4)], withPayload: include('long')});
    expect('what came compressed', record(long.result[0])[1].long.length, 6000);
    const named = record((await points.get({collectionName: NAMED, ids: [id(1)], withVectors: enable})).result[0])[2];
    near('cosine vectors are kept normalised', named.text, [0.6, 0.8]);
    expect('sparse', named.words, {indices: [2, 7], values: [1, 0.5]});
    const first = await points.scroll({collectionName: PLAIN, limit: 2, withPayload: include('n')});
    expect('first page', [first.result.map(record), idBack(first.nextPageOffset)],
        [[[1, {n: 1}, undefined], [2, {n: 2}, undefined]], 3]);
    const last = await points.scroll({collectionName: PLAIN, limit: 2, offset: id(UUID)});
    expect('last page', [last.result.length, last.nextPageOffset], [1, undefined]);
    expect('counted', (await points.count({collectionName: PLAIN, filter: matching('city', 'Berlin')})).result.count, 2n);
}

async function query() {
    const of = async (request) => pairs((await points.query({collectionName: PLAIN, ...request})).result);
    const all = [[3, 8], [1, 3], [2, 2], [4, 1], [UUID, 0.5]];
    expect('nearest', await of({query: dense(Q)}), all);
    expect('limit and offset', await of({query: dense(Q), limit: 2n, offset: 1n}), all.slice(1, 3));
    expect('by id', await of({query: nearest({case: 'id', value: id(3)}), limit: 2n}), [[1, 2], [2, 1]]);
    expect('filter', await of({query: dense(Q), filter: matching('city', 'Berlin')}), [[3, 8], [1, 3]]);
    expect('threshold is strict', await of({query: dense(Q), scoreThreshold: 2}), [[3, 8], [1, 3]]);
    const [full] = (await points.query({
        collectionName: PLAIN, query: dense(Q), limit: 1n, withPayload: include('city'), withVectors: enable})).result;
    expect('payload and vector', record(full), [3, {city: 'Berlin'}, [2, 1, 0, 0]]);
    const named = async (using, input) => pairs((await points.query({collectionName: NAMED, query: input, using})).result);
    near('cosine', (await named('text', dense([1, 0]))).map(([, score]) => score), [1, 0.6]);
    expect('euclid', await named('image', dense([0, 0])), [[1, 0], [2, 5]]);
    const words = nearest({case: 'sparse', value: {indices: [2, 7], values: [2, 1]}});
    expect('sparse', await named('words', words), [[3, 4], [1, 2.5]]);
    const batch = await points.queryBatch({collectionName: PLAIN, queryPoints: [
        {collectionName: PLAIN, query: dense(Q), limit: 1n}]});
    expect('batch', batch.result.map((b) => pairs(b.result)), [[[3, 8]]]);
}

async function legacySearch() {
    const search = async (request) => pairs((await points.search({limit: 9n, ...request})).result);
    expect('search', await search({collectionName: PLAIN, vector: Q, limit: 2n}), [[3, 8], [1, 3]]);
    expect('named', await search({collectionName: NAMED, vector: [0, 0], vectorName: 'image'}), [[1, 0], [2, 5]]);
    expect('sparse', await search({
        collectionName: NAMED, vector: [2], sparseIndices: {data: [2]}, vectorName: 'words'}), [[1, 2]]);
    const batch = await points.searchBatch({collectionName: PLAIN, searchPoints: [
        {collectionName: PLAIN, vector: Q, limit: 1n}]});
    expect('batch', batch.result.map((b) => pairs(b.result)), [[[3, 8]]]);
}

// The other forms, and the older methods that ask for them.
async function otherForms() {
    const of = async (request) => pairs((await points.query({collectionName: PLAIN, ...request})).result);
    const form = (kind, value) => ({variant: {case: kind, value}});
    const example = (which) => ({variant: {case: 'id', value: id(which)}});
    const two = [{query: dense(Q), limit: 3n}, {query: dense([0, 1, 0, 0]), limit: 2n}];
    expect('recommend', await of({query: form('recommend', {positive: [example(1)]}), limit: 1n}), [[3, 2]]);
    expect('fusion', (await of({prefetch: two, query: form('fusion', 0)})).map(([which]) => which), [3, 2, 1]);
    const recommended = await points.recommend({collectionName: PLAIN, positive: [id(1)], limit: 1n});
    expect('older recommend', pairs(recommended.result), [[3, 2]]);
    const target = {target: {case: 'single', value: {example: {case: 'id', value: id(1)}}}};
    expect('discover', pairs((await points.discover({collectionName: PLAIN, target, limit: 1n})).result)[0][0], 3);
    const by = {collectionName: PLAIN, groupBy: 'city', groupSize: 2n};
    const answers = [await points.queryGroups({...by, query: dense(Q), limit: 2n}),
        await points.searchGroups({...by, vector: Q, limit: 2, groupSize: 2})];
    for (const {result} of answers) {
        expect('groups', result.groups.map((g) => [g.id.kind.value, g.hits.map((h) => idBack(h.id))]),
            [['Berlin', [3, 1]], ['London', [2]]]);
    }
    const matrix = (await points.searchMatrixPairs({collectionName: PLAIN, sample: 10n, limit: 1n})).result.pairs;
    expect('pairs', matrix.slice(0, 2).map((p) => [idBack(p.a), idBack(p.b), p.score]), [[1, 3, 2], [2, 3, 1]]);
    await refusedWith('order', INVALID_ARGUMENT, 'No range index for `order_by` key: `n`',
        () => points.scroll({collectionName: PLAIN, orderBy: {key: 'n'}}));
}

async function write() {
    const one = async (request) => record((await points.get(request)).result[0]);
    const of = async (which) => (await one({collectionName: PLAIN, ids: [id(which)], withPayload: enable}))[1];
    const on = (...list) => ({collectionName: PLAIN, wait: true, pointsSelector: listed(...list)});
    await points.setPayload({...on(1), payload: fields({new: true, n: 10})});
    expect('set merges', await of(1), {city: 'Berlin', n: 10, new: true});
    await points.overwritePayload({...on(1), payload: fields({only: 'this'})});
    expect('overwrite replaces', await of(1), {only: 'this'});
    await points.deletePayload({...on(2), keys: ['n', 'absent']});
    expect('delete removes', await of(2), {city: 'London'});
    await points.clearPayload({collectionName: PLAIN, wait: true, points: listed(1)});
    expect('clear removes all', await of(1), {});

    const image = async () => (await one({collectionName: NAMED, ids: [id(2)], withVectors: enable}))[2];
    await points.updateVectors({
        collectionName: NAMED, wait: true, points: [{id: id(2), vectors: vectors({image: [6, 8]})}]});
    expect('only the named vector changes', await image(), {image: [6, 8], text: [1, 0]});
    await points.deleteVectors({
        collectionName: NAMED, wait: true, pointsSelector: listed(2), vectors: {names: ['image']}});
    expect('only the named vector goes', await image(), {text: [1, 0]});

    const operation = (kind, v) => ({operation: {case: kind, value: v}});
    const batch = await points.updateBatch({collectionName: PLAIN, wait: true, operations: [
        operation('upsert', {points: [point(50, [9, 0, 0, 0], {n: 50})]}),
        operation('setPayload', {payload: fields({b: 1}), pointsSelector: listed(50)}),
        operation('deletePayload', {keys: ['n'], pointsSelector: listed(50)}),
        operation('deletePoints', {points: listed(4)}),
    ]});
    expect('statuses', batch.result.map((r) => r.status), Array(4).fill(COMPLETED));
    expect('in order', await of(50), {b: 1});
}

async function indexes() {
    const schema = async () => (await collectionsApi.get({collectionName: PLAIN})).result.payloadSchema;
    await points.createFieldIndex({collectionName: PLAIN, wait: true, fieldName: 'city', fieldType: 0});
    const {city} = await schema();
    expect('schema', [city.dataType, city.points], [KEYWORD, 3n]);
    await points.deleteFieldIndex({collectionName: PLAIN, wait: true, fieldName: 'city'});
    expect('schema after', await schema(), {});
}

async function refusals() {
    const nowhere = "Collection `nowhere` doesn't exist!", dimension = 'Vector dimension error: expected dim: 4, got 3';
    await refusedWith('info of nowhere', NOT_FOUND, nowhere, () => collectionsApi.get({collectionName: 'nowhere'}));
    await refusedWith('query nowhere', NOT_FOUND, nowhere,
        () => points.query({collectionName: 'nowhere', query: dense([1])}));
    await refusedWith('upsert', INVALID_ARGUMENT, dimension,
        () => points.upsert({collectionName: PLAIN, points: [point(7, [1, 2, 3])]}));
    await refusedWith('query', INVALID_ARGUMENT, dimension,
        () => points.query({collectionName: PLAIN, query: dense([1, 2, 3])}));
    await refusedWith('payload of a missing point', NOT_FOUND, 'No point with id 777 found', () => points.setPayload({
        collectionName: PLAIN, wait: true, pointsSelector: listed(777), payload: fields({a: 1})}));
    for (const [what, call] of Object.entries(NOT_BUILT)) {
        await refusedWith(what, UNIMPLEMENTED, 'Not implemented', call);
    }
}

async function aliases() {
    const change = (...actions) => collectionsApi.updateAliases({actions: actions.map((action) => ({action}))});
    expect('create', (await change({case: 'createAlias', value: {collectionName: PLAIN, aliasName: 'other'}})).result, true);
    expect('all', (await collectionsApi.listAliases({})).aliases.map((a) => [a.aliasName, a.collectionName]),
        [['other', PLAIN]]);
    expect('delete', (await change({case: 'deleteAlias', value: {aliasName: 'other'}})).result, true);
    expect('of one', (await collectionsApi.listCollectionAliases({collectionName: PLAIN})).aliases.length, 0);
}

async function deletion() {
    await points.delete({collectionName: PLAIN, wait: true, points: listed(1, 99)});
    await points.delete({collectionName: PLAIN, wait: true,
        points: {pointsSelectorOneOf: {case: 'filter', value: matching('city', 'London')}}});
    expect('left', (await points.scroll({collectionName: PLAIN})).result.map((p) => idBack(p.id)), [3, 50, UUID]);
    const update = {collectionName: PLAIN, optimizersConfig: {indexingThreshold: 5000n}};
    expect('update', (await collectionsApi.update(update)).result, true);
    const {config} = (await collectionsApi.get({collectionName: PLAIN})).result;
    expect('updated', config.optimizerConfig.indexingThreshold, 5000n);
    expect('delete a collection', (await collectionsApi.delete({collectionName: PLAIN})).result, true);
    expect('it is gone', (await collectionsApi.collectionExists({collectionName: PLAIN})).result.exists, false);
    expect('delete it again', (await collectionsApi.delete({collectionName: PLAIN})).result, false);
    await refusedWith('and cannot be read', NOT_FOUND, "Collection `plain` doesn't exist!",
        () => points.scroll({collectionName: PLAIN}));
}

await run([create, info, upsert, read, query, legacySearch, otherForms, write, indexes, refusals, aliases, deletion]);
// The session of HTTP/2 stays open for the next call; there is none.
process.exit(0);
