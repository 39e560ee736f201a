// SPDX-License-Identifier: Apache-2.0
//! The tour of Qdrant's Rust client: rust-grpc-tour URL GRPC_ADDRESS. A panic is a wrong answer.

use ::qdrant_client::qdrant::point_id::PointIdOptions;
use ::qdrant_client::qdrant::vector_output::Vector as Output;
use ::qdrant_client::qdrant::vectors_output::VectorsOptions;
use ::qdrant_client::qdrant::*;
use ::qdrant_client::{Payload, Qdrant, QdrantError};
use serde_json::{json, Value as Json};
use std::future::Future;

const UUID: &str = "5c56c793-69f3-4fbf-87e6-c4bf54c28c26";
const PLAIN: &str = "plain";
const NAMED: &str = "named";
const Q: [f32; 4] = [3.0, 2.0, 1.0, 0.25];

const INVALID_ARGUMENT: i32 = 3;
const NOT_FOUND: i32 = 5;
const ALREADY_EXISTS: i32 = 6;
const UNIMPLEMENTED: i32 = 12;

type Answer<T> = Result<T, QdrantError>;

fn payload(json: Json) -> Payload {
    Payload::try_from(json).expect("an object")
}

fn id(of: &Option<PointId>) -> String {
    match of.as_ref().and_then(|id| id.point_id_options.as_ref()) {
        Some(PointIdOptions::Num(n)) => n.to_string(),
        Some(PointIdOptions::Uuid(uuid)) => uuid.clone(),
        None => panic!("a point without an id"),
    }
}

fn scored(points: &[ScoredPoint]) -> Vec<(String, f32)> {
    points.iter().map(|p| (id(&p.id), p.score)).collect()
}

fn pairs(wanted: &[(&str, f32)]) -> Vec<(String, f32)> {
    wanted.iter().map(|(id, score)| (id.to_string(), *score)).collect()
}

fn ids(points: &[RetrievedPoint]) -> Vec<String> {
    points.iter().map(|p| id(&p.id)).collect()
}

fn json_of(point: &RetrievedPoint) -> Json {
    Payload::from(point.payload.clone()).into()
}

/// The vector of a point that has one without a name.
fn vector(point: &RetrievedPoint) -> Vec<f32> {
    match point.vectors.as_ref().and_then(|v| v.vectors_options.as_ref()) {
        Some(VectorsOptions::Vector(v)) => dense(v),
        other => panic!("wanted one vector, got {other:?}"),
    }
}

fn dense(v: &VectorOutput) -> Vec<f32> {
    match &v.vector {
        Some(Output::Dense(d)) => d.data.clone(),
        other => panic!("wanted a dense vector, got {other:?}"),
    }
}

fn near(what: &str, got: &[f32], wanted: &[f32]) {
    let close = got.len() == wanted.len() && got.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-6);
    assert!(close, "{what}: wanted {wanted:?}, got {got:?}");
}

fn completed(what: &str, answer: PointsOperationResponse) {
    let status = answer.result.expect("a result").status;
    assert_eq!(status, UpdateStatus::Completed as i32, "{what}");
}

async fn refused<T: std::fmt::Debug>(what: &str, code: i32, words: &str, call: impl Future<Output = Answer<T>>) {
    match call.await {
        Err(QdrantError::ResponseError { status }) => {
            assert_eq!(status.code() as i32, code, "{what}: {status}");
            assert!(status.message().contains(words), "{what}: {status}");
        }
        other => panic!("{what}: is to be refused, but: {other:?}"),
    }
}

fn berlin() -> Filter {
    Filter::must([Condition::matches("city", "Berlin".to_string())])
}

async fn collections(c: &Qdrant) -> Answer<()> {
    assert!(c.health_check().await?.version.starts_with("1.18."));
    assert!(!c.collection_exists(PLAIN).await?);
    let plain = || CreateCollectionBuilder::new(PLAIN).vectors_config(VectorParamsBuilder::new(4, Distance::Dot));
    assert!(c.create_collection(plain()).await?.result);
    let mut names = VectorsConfigBuilder::default();
    names.add_named_vector_params("text", VectorParamsBuilder::new(2, Distance::Cosine));
    names.add_named_vector_params("image", VectorParamsBuilder::new(2, Distance::Euclid));
    let mut sparse = SparseVectorsConfigBuilder::default();
    sparse.add_named_vector_params("words", SparseVectorParamsBuilder::default());
    let named = CreateCollectionBuilder::new(NAMED).vectors_config(names).sparse_vectors_config(sparse);
    assert!(c.create_collection(named).await?.result);
    assert!(c.collection_exists(PLAIN).await?);
    let mut list: Vec<_> = c.list_collections().await?.collections.into_iter().map(|x| x.name).collect();
    list.sort();
    assert_eq!(list, [NAMED, PLAIN]);
    refused("twice", ALREADY_EXISTS, "Collection `plain` already exists!", c.create_collection(plain())).await;
    Ok(())
}

async fn info(c: &Qdrant) -> Answer<()> {
    let info = c.collection_info(PLAIN).await?.result.expect("a result");
    assert_eq!(info.status(), CollectionStatus::Green);
    assert_eq!(info.points_count, Some(0));
    assert!(info.optimizer_status.expect("a status").ok);
    let config = info.config.expect("a config");
    assert_eq!(config.hnsw_config.expect("hnsw").m, Some(16));
    match config.params.and_then(|p| p.vectors_config).and_then(|v| v.config) {
        Some(vectors_config::Config::Params(p)) => assert_eq!((p.size, p.distance()), (4, Distance::Dot)),
        other => panic!("{other:?}"),
    }
    Ok(())
}

async fn upsert(c: &Qdrant) -> Answer<()> {
    let first = || PointStruct::new(1, vec![1.0, 0.0, 0.0, 0.0], payload(json!({"city": "Berlin", "n": 1})));
    let points = vec![
        first(),
        PointStruct::new(2, vec![0.0, 1.0, 0.0, 0.0], payload(json!({"city": "London", "n": 2}))),
        PointStruct::new(
            3,
            vec![2.0, 1.0, 0.0, 0.0],
            payload(json!({"city": "Berlin", "n": 3, "tags": ["a", "b"], "deep": {"x": 1.5, "none": null}})),
        ),
    ];
    completed("wait", c.upsert_points(UpsertPointsBuilder::new(PLAIN, points).wait(true)).await?);
    let points = vec![
        PointStruct::new(4, vec![0.0, 0.0, 1.0, 0.0], payload(json!({"city": "Paris", "n": 4}))),
        PointStruct::new(UUID, vec![0.0, 0.0, 0.0, 2.0], payload(json!({"city": "Rome", "n": 5}))),
    ];
    let answer = c.upsert_points(UpsertPointsBuilder::new(PLAIN, points)).await?;
    assert_eq!(answer.result.expect("a result").status(), UpdateStatus::Acknowledged);
    let points = vec![
        PointStruct::new(
            1,
            NamedVectors::default()
                .add_vector("text", vec![3.0, 4.0])
                .add_vector("image", vec![0.0, 0.0])
                .add_vector("words", Vector::new_sparse(vec![7, 2], vec![0.5, 1.0])),
            Payload::new(),
        ),
        PointStruct::new(
            2,
            NamedVectors::default().add_vector("text", vec![1.0, 0.0]).add_vector("image", vec![3.0, 4.0]),
            Payload::new(),
        ),
        PointStruct::new(
            3,
            NamedVectors::default().add_vector("words", Vector::new_sparse(vec![7], vec![4.0])),
            Payload::new(),
        ),
    ];
    completed("named", c.upsert_points(UpsertPointsBuilder::new(NAMED, points).wait(true)).await?);
    // A write that waits stands behind the one that did not, so that from here on all five are visible.
    completed("again", c.upsert_points(UpsertPointsBuilder::new(PLAIN, vec![first()]).wait(true)).await?);
    assert_eq!(c.count(CountPointsBuilder::new(PLAIN).exact(true)).await?.result.expect("a result").count, 5);
    Ok(())
}

async fn read(c: &Qdrant) -> Answer<()> {
    let ask = GetPointsBuilder::new(PLAIN, vec![3.into(), UUID.into(), 99.into()]).with_payload(true).with_vectors(true);
    let got = c.get_points(ask).await?.result;
    assert_eq!(ids(&got), ["3", UUID]);
    let whole = json!({"city": "Berlin", "n": 3, "tags": ["a", "b"], "deep": {"x": 1.5, "none": null}});
    assert_eq!(json_of(&got[0]), whole);
    assert_eq!((vector(&got[0]), vector(&got[1])), (vec![2.0, 1.0, 0.0, 0.0], vec![0.0, 0.0, 0.0, 2.0]));
    let only = PayloadIncludeSelector { fields: vec!["n".into(), "deep.x".into()] };
    let got = c.get_points(GetPointsBuilder::new(PLAIN, vec![3.into()]).with_payload(only)).await?.result;
    assert_eq!(json_of(&got[0]), json!({"n": 3, "deep": {"x": 1.5}}));
    assert!(got[0].vectors.is_none());

    let page = c.scroll(ScrollPointsBuilder::new(PLAIN).limit(2)).await?;
    assert_eq!((ids(&page.result), id(&page.next_page_offset)), (vec!["1".into(), "2".into()], "3".to_string()));
    let page = c.scroll(ScrollPointsBuilder::new(PLAIN).limit(2).offset(PointId::from(UUID))).await?;
    assert_eq!((ids(&page.result), page.next_page_offset), (vec![UUID.to_string()], None));
    let page = c.scroll(ScrollPointsBuilder::new(PLAIN).filter(berlin())).await?;
    assert_eq!(ids(&page.result), ["1", "3"]);
    let count = c.count(CountPointsBuilder::new(PLAIN).filter(berlin())).await?;
    assert_eq!(count.result.expect("a result").count, 2);
    Ok(())
}

async fn query(c: &Qdrant) -> Answer<()> {
    let ask = || QueryPointsBuilder::new(PLAIN).query(Q.to_vec());
    let all = pairs(&[("3", 8.0), ("1", 3.0), ("2", 2.0), ("4", 1.0), (UUID, 0.5)]);
    assert_eq!(scored(&c.query(ask()).await?.result), all);
    assert_eq!(scored(&c.query(ask().limit(2).offset(1)).await?.result), all[1..3]);
    assert_eq!(scored(&c.query(ask().filter(berlin())).await?.result), all[..2]);
    assert_eq!(scored(&c.query(ask().score_threshold(2.0)).await?.result), all[..2]);
    let by_id = QueryPointsBuilder::new(PLAIN).query(PointId::from(3)).limit(2);
    assert_eq!(scored(&c.query(by_id).await?.result), pairs(&[("1", 2.0), ("2", 1.0)]));
    let only = PayloadIncludeSelector { fields: vec!["city".into()] };
    let full = c.query(ask().limit(1).with_payload(only)).await?.result;
    assert_eq!(Json::from(Payload::from(full[0].payload.clone())), json!({"city": "Berlin"}));

    let named = |using: &str, query: Query| QueryPointsBuilder::new(NAMED).query(query).using(using);
    let got = c.query(named("text", Query::new_nearest(vec![1.0, 0.0]))).await?.result;
    near("cosine", &[got[0].score, got[1].score], &[1.0, 0.6]);
    let got = c.query(named("image", Query::new_nearest(vec![0.0, 0.0]))).await?.result;
    assert_eq!(scored(&got), pairs(&[("1", 0.0), ("2", 5.0)]));
    let words = Query::new_nearest(VectorInput::new_sparse(vec![2, 7], vec![2.0, 1.0]));
    assert_eq!(scored(&c.query(named("words", words)).await?.result), pairs(&[("3", 4.0), ("1", 2.5)]));
    let batch = QueryBatchPointsBuilder::new(PLAIN, vec![ask().limit(1).build()]);
    assert_eq!(scored(&c.query_batch(batch).await?.result[0].result), all[..1]);

    let search = SearchPointsBuilder::new(PLAIN, Q.to_vec(), 2);
    assert_eq!(scored(&c.search_points(search).await?.result), all[..2]);
    let search = SearchPointsBuilder::new(NAMED, vec![0.0, 0.0], 9).vector_name("image");
    assert_eq!(scored(&c.search_points(search).await?.result), pairs(&[("1", 0.0), ("2", 5.0)]));
    Ok(())
}

/// The other forms, and the older methods that ask for them.
async fn other_forms(c: &Qdrant) -> Answer<()> {
    let best = pairs(&[("3", 2.0)]);
    let recommend = RecommendInputBuilder::default().add_positive(PointId::from(1)).build();
    let recommend = QueryPointsBuilder::new(PLAIN).query(Query::new_recommend(recommend)).limit(1);
    assert_eq!(scored(&c.query(recommend).await?.result), best);
    let older = RecommendPointsBuilder::new(PLAIN, 1).add_positive(1);
    assert_eq!(scored(&c.recommend(older).await?.result), best);
    let fusion = QueryPointsBuilder::new(PLAIN)
        .add_prefetch(PrefetchQueryBuilder::default().query(Q.to_vec()).limit(3u64))
        .add_prefetch(PrefetchQueryBuilder::default().query(vec![0.0, 1.0, 0.0, 0.0]).limit(2u64))
        .query(Query::new_fusion(Fusion::Rrf));
    let fused: Vec<String> = scored(&c.query(fusion).await?.result).into_iter().map(|(id, _)| id).collect();
    assert_eq!(fused, ["3", "2", "1"]);

    let groups = QueryPointGroupsBuilder::new(PLAIN, "city").query(Q.to_vec()).limit(2u64).group_size(2u64);
    let groups = c.query_groups(groups).await?.result.expect("groups").groups;
    let found: Vec<_> = groups.iter().flat_map(|g| scored(&g.hits)).collect();
    assert_eq!(found, pairs(&[("3", 8.0), ("1", 3.0), ("2", 2.0)]));
    let matrix = SearchMatrixPointsBuilder::new(PLAIN).sample(10u64).limit(1u64);
    let matrix = c.search_matrix_pairs(matrix).await?.result.expect("pairs").pairs;
    assert_eq!((id(&matrix[0].a), id(&matrix[0].b), matrix[0].score), ("1".into(), "3".into(), 2.0));
    let words = "No range index for `order_by` key: `n`";
    let ordered = ScrollPointsBuilder::new(PLAIN).order_by("n");
    refused("order_by", INVALID_ARGUMENT, words, c.scroll(ordered)).await;
    Ok(())
}

async fn payload_of(c: &Qdrant, point: u64) -> Answer<Json> {
    let got = c.get_points(GetPointsBuilder::new(PLAIN, vec![point.into()]).with_payload(true)).await?.result;
    Ok(json_of(&got[0]))
}

async fn payloads(c: &Qdrant) -> Answer<()> {
    let one: Vec<PointId> = vec![1.into()];
    let set = SetPayloadPointsBuilder::new(PLAIN, payload(json!({"new": true, "n": 10})));
    completed("set", c.set_payload(set.points_selector(one.clone()).wait(true)).await?);
    assert_eq!(payload_of(c, 1).await?, json!({"city": "Berlin", "n": 10, "new": true}));
    let set = SetPayloadPointsBuilder::new(PLAIN, payload(json!({"only": "this"})));
    completed("overwrite", c.overwrite_payload(set.points_selector(one.clone()).wait(true)).await?);
    assert_eq!(payload_of(c, 1).await?, json!({"only": "this"}));
    let two: Vec<PointId> = vec![2.into()];
    let delete = DeletePayloadPointsBuilder::new(PLAIN, vec!["n".into(), "absent".into()]);
    completed("delete", c.delete_payload(delete.points_selector(two).wait(true)).await?);
    assert_eq!(payload_of(c, 2).await?, json!({"city": "London"}));
    completed("clear", c.clear_payload(ClearPayloadPointsBuilder::new(PLAIN).points(one).wait(true)).await?);
    assert_eq!(payload_of(c, 1).await?, json!({}));
    Ok(())
}

/// The named vectors of point 2, sorted by name.
async fn names_of_two(c: &Qdrant) -> Answer<Vec<(String, Vec<f32>)>> {
    let got = c.get_points(GetPointsBuilder::new(NAMED, vec![2.into()]).with_vectors(true)).await?.result;
    match got[0].vectors.as_ref().and_then(|v| v.vectors_options.as_ref()) {
        Some(VectorsOptions::Vectors(v)) => {
            let mut all: Vec<_> = v.vectors.iter().map(|(name, v)| (name.clone(), dense(v))).collect();
            all.sort_by(|a, b| a.0.cmp(&b.0));
            Ok(all)
        }
        other => panic!("wanted named vectors, got {other:?}"),
    }
}

async fn vectors(c: &Qdrant) -> Answer<()> {
    let image = NamedVectors::default().add_vector("image", vec![6.0, 8.0]);
    let changed = PointVectors { id: Some(2.into()), vectors: Some(image.into()) };
    completed("update", c.update_vectors(UpdatePointVectorsBuilder::new(NAMED, vec![changed]).wait(true)).await?);
    let text = ("text".to_string(), vec![1.0, 0.0]);
    assert_eq!(names_of_two(c).await?, [("image".to_string(), vec![6.0, 8.0]), text.clone()]);
    let delete = DeletePointVectorsBuilder::new(NAMED)
        .points_selector(PointsIdsList { ids: vec![2.into()] })
        .vectors(VectorsSelector { names: vec!["image".into()] })
        .wait(true);
    completed("delete", c.delete_vectors(delete).await?);
    assert_eq!(names_of_two(c).await?, [text]);
    Ok(())
}

async fn batch(c: &Qdrant) -> Answer<()> {
    use points_update_operation::*;
    let on = |point: u64| Some(vec![PointId::from(point)].into());
    let new = PointStruct::new(50, vec![9.0, 0.0, 0.0, 0.0], payload(json!({"n": 50})));
    let operations = [
        Operation::Upsert(PointStructList { points: vec![new], ..Default::default() }),
        Operation::SetPayload(SetPayload {
            payload: payload(json!({"b": 1})).into(),
            points_selector: on(50),
            ..Default::default()
        }),
        Operation::DeletePayload(DeletePayload { keys: vec!["n".into()], points_selector: on(50), ..Default::default() }),
        Operation::DeletePoints(DeletePoints { points: on(4), ..Default::default() }),
    ];
    let operations = operations.map(|o| PointsUpdateOperation { operation: Some(o) }).to_vec();
    let answer = c.update_points_batch(UpdateBatchPointsBuilder::new(PLAIN, operations).wait(true)).await?;
    let statuses: Vec<i32> = answer.result.iter().map(|r| r.status).collect();
    assert_eq!(statuses, [UpdateStatus::Completed as i32; 4]);
    assert_eq!(payload_of(c, 50).await?, json!({"b": 1}));
    Ok(())
}

async fn indexes(c: &Qdrant) -> Answer<()> {
    let create = CreateFieldIndexCollectionBuilder::new(PLAIN, "city", FieldType::Keyword).wait(true);
    completed("create", c.create_field_index(create).await?);
    let schema = c.collection_info(PLAIN).await?.result.expect("a result").payload_schema;
    assert_eq!((schema["city"].data_type(), schema["city"].points), (PayloadSchemaType::Keyword, Some(3)));
    completed("delete", c.delete_field_index(DeleteFieldIndexCollectionBuilder::new(PLAIN, "city").wait(true)).await?);
    assert!(c.collection_info(PLAIN).await?.result.expect("a result").payload_schema.is_empty());
    Ok(())
}

/// NOT_BUILT: what the client offers and the server does not have yet. It says so, and nothing else happens.
async fn not_built(c: &Qdrant) {
    const WORDS: &str = "Not implemented";
    refused("shard keys", UNIMPLEMENTED, WORDS, c.list_shard_keys(PLAIN)).await;
    refused("snapshot", UNIMPLEMENTED, WORDS, c.create_snapshot(PLAIN)).await;
    refused("snapshots", UNIMPLEMENTED, WORDS, c.list_snapshots(PLAIN)).await;
}

async fn refusals(c: &Qdrant) -> Answer<()> {
    let nowhere = "Collection `nowhere` doesn't exist!";
    let dimension = "Vector dimension error: expected dim: 4, got 3";
    refused("info", NOT_FOUND, nowhere, c.collection_info("nowhere")).await;
    refused("query", NOT_FOUND, nowhere, c.query(QueryPointsBuilder::new("nowhere").query(vec![1.0]))).await;
    let short = vec![PointStruct::new(7, vec![1.0, 2.0, 3.0], Payload::new())];
    refused("upsert", INVALID_ARGUMENT, dimension, c.upsert_points(UpsertPointsBuilder::new(PLAIN, short))).await;
    let short = QueryPointsBuilder::new(PLAIN).query(vec![1.0, 2.0, 3.0]);
    refused("query", INVALID_ARGUMENT, dimension, c.query(short)).await;
    let missing: Vec<PointId> = vec![777.into()];
    let set = SetPayloadPointsBuilder::new(PLAIN, payload(json!({"a": 1}))).points_selector(missing).wait(true);
    refused("payload", NOT_FOUND, "No point with id 777 found", c.set_payload(set)).await;
    not_built(c).await;
    Ok(())
}

async fn aliases(c: &Qdrant) -> Answer<()> {
    assert!(c.create_alias(CreateAliasBuilder::new(PLAIN, "other")).await?.result);
    let all = c.list_aliases().await?.aliases;
    assert_eq!((all.len(), all[0].alias_name.as_str(), all[0].collection_name.as_str()), (1, "other", PLAIN));
    assert!(c.collection_exists("other").await?);
    assert!(c.delete_alias("other").await?.result);
    assert!(c.list_aliases().await?.aliases.is_empty());
    Ok(())
}

async fn deletion(c: &Qdrant) -> Answer<()> {
    let listed: Vec<PointId> = vec![1.into(), 99.into()];
    completed("ids", c.delete_points(DeletePointsBuilder::new(PLAIN).points(listed).wait(true)).await?);
    let london = Filter::must([Condition::matches("city", "London".to_string())]);
    completed("filter", c.delete_points(DeletePointsBuilder::new(PLAIN).points(london).wait(true)).await?);
    assert_eq!(ids(&c.scroll(ScrollPointsBuilder::new(PLAIN)).await?.result), ["3", "50", UUID]);
    let optimizers = OptimizersConfigDiffBuilder::default().indexing_threshold(5000);
    assert!(c.update_collection(UpdateCollectionBuilder::new(PLAIN).optimizers_config(optimizers)).await?.result);
    let config = c.collection_info(PLAIN).await?.result.and_then(|r| r.config).expect("a config");
    assert_eq!(config.optimizer_config.expect("optimizers").indexing_threshold, Some(5000));
    assert!(c.delete_collection(PLAIN).await?.result);
    assert!(!c.collection_exists(PLAIN).await?);
    assert!(!c.delete_collection(PLAIN).await?.result);
    let gone = "Collection `plain` doesn't exist!";
    refused("scroll", NOT_FOUND, gone, c.scroll(ScrollPointsBuilder::new(PLAIN))).await;
    Ok(())
}

async fn tour(c: &Qdrant) -> Answer<()> {
    collections(c).await?;
    info(c).await?;
    upsert(c).await?;
    read(c).await?;
    query(c).await?;
    other_forms(c).await?;
    payloads(c).await?;
    vectors(c).await?;
    batch(c).await?;
    indexes(c).await?;
    refusals(c).await?;
    aliases(c).await?;
    deletion(c).await
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let address = std::env::args().nth(2).expect("the gRPC address");
    let client = Qdrant::from_url(&format!("http://{address}")).build().expect("a client");
    if let Err(error) = tour(&client).await {
        panic!("{error}");
    }
    println!("all answers were as expected");
}
