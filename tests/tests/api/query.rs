//! The query string: routes of people refuse unknown parameters by their name.

use http_api::operation::Callers;
use reqwest::Method;
use tests::prelude::*;

/// The names of the fields that an answer refuses.
fn refused_fields(answer: &Answer) -> Vec<String> {
    let fields = answer.json()["details"]["fields"].take();
    let fields = fields.as_array().cloned().unwrap_or_default();
    fields
        .iter()
        .filter_map(|one| one["field"].as_str().map(str::to_owned))
        .collect()
}

#[tokio::test]
async fn an_unknown_parameter_is_refused_by_name_on_every_route_and_ignored_where_boxes_and_partners_call()
 {
    let (world, shop) = fixture::shop().await;
    let (admin, anonymous) = (world.admin(), world.anonymous());
    let owner = world.owner(shop.merchant_id).await;
    let (mut refusing, mut ignoring) = (0, 0);
    for endpoint in http_api::endpoints() {
        let method: Method = serde_json::json!(endpoint.method)
            .as_str()
            .unwrap()
            .to_uppercase()
            .parse()
            .unwrap();
        let segments = endpoint.path.split('/').map(|segment| {
            let is_parameter = segment.starts_with('{');
            if is_parameter { "none" } else { segment }
        });
        let path = segments.collect::<Vec<_>>().join("/") + "?limit=5&foo=1";
        let body = (method != Method::GET).then(|| b"{}".to_vec());
        let caller = match endpoint.operation.callers {
            Callers::Roles(roles) if roles.contains(&Role::Admin) => &admin,
            Callers::Roles(_) => &owner,
            _ => &anonymous,
        };
        let answer = caller.call(method.clone(), &path, &[], body.clone()).await;
        let of_boxes_or_partners = match endpoint.operation.callers {
            Callers::Roles(_) => false,
            Callers::Anyone => path.starts_with("/device/") || path.starts_with("/speaker/"),
            _ => true,
        };
        if of_boxes_or_partners {
            ignoring += 1;
            assert!(
                !String::from_utf8_lossy(&answer.body).contains("foo"),
                "{method} {path}: {answer}"
            );
            continue;
        }
        refusing += 1;
        answer.refused(VALIDATION_FAILED);
        let fields = refused_fields(&answer);
        assert!(
            fields.contains(&"foo".to_owned()),
            "{method} {path}: {answer}"
        );
        // The caller is checked first.
        if matches!(endpoint.operation.callers, Callers::Roles(_)) {
            assert_refused!(anonymous.call(method, &path, &[], body), UNAUTHENTICATED);
        }
    }
    assert!(refusing > 90 && ignoring > 10, "{refusing} {ignoring}");
}

#[tokio::test]
async fn public_pages_take_no_parameters_and_the_first_links_to_the_others() {
    let world = World::new().await;
    let anonymous = world.anonymous().unchecked();
    for path in ["/", "/docs", "/openapi.json"] {
        let _ = anonymous.get(path).await.expect(200);
        let answer = anonymous.get(&format!("{path}?foo=1")).await;
        answer.refused(VALIDATION_FAILED);
        assert_eq!(refused_fields(&answer), ["foo"], "{path}");
    }
    let start = anonymous.get("/").await.expect(200);
    let text = String::from_utf8_lossy(&start.body).into_owned();
    assert!(text.contains("href=\"/docs\""), "{text}");
    assert!(
        start
            .header("content-type")
            .unwrap()
            .starts_with("text/html")
    );
}

#[tokio::test]
async fn all_unknown_parameters_are_named_at_once_and_known_ones_are_listed() {
    let world = World::new().await;
    let answer = world
        .admin()
        .get("/admin/transactions?merchant=m&status=paid&sort=amount")
        .await;
    answer.refused(VALIDATION_FAILED);
    assert_eq!(refused_fields(&answer), ["merchant", "sort"]);
    let text = answer.to_string();
    for known in ["merchant_id", "from", "to", "limit", "cursor"] {
        assert!(text.contains(known), "{known}: {text}");
    }
}
