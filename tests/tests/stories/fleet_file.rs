//! Boxes in files: registered from a maker's list, found by tags and text, exported for a spreadsheet.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use tests::prelude::*;

use reqwest::Method;

const IMPORT: &str = "/admin/devices/import";
const HEADER: &str = "serial_number,model,capabilities,communication_mode,tags\n";

async fn found(world: &World, filter: &str) -> BTreeSet<String> {
    let path = format!("/admin/devices?{filter}");
    let list = world.admin().list(&path).await;
    let serials = list.iter();
    serials.map(|row| text(row, "serial_number")).collect()
}

fn set(serials: &[&str]) -> BTreeSet<String> {
    serials.iter().map(|serial| (*serial).to_owned()).collect()
}

#[tokio::test]
async fn a_delivery_is_registered_from_a_file() {
    let world = World::new().await;
    let ops = world.staff(Role::Ops).await;
    let file = format!(
        "{HEADER}A-1,SB-1,speaker;display,mqtt,batch:7;pilot\nA-2,SB-2,speaker,http,batch:7\n"
    );
    let keyed = [("idempotency-key", "delivery-7")];
    let first = ops.post_csv(IMPORT, &keyed, &file).await;
    let first = first.expect(201).data();
    assert_fields!(first, { "imported": 2, "devices/1/row": 3 });
    let code = text(&first["devices"][0], "activation_code");
    // Repeated, the answer has no codes.
    let again = ops.post_csv(IMPORT, &keyed, &file).await.expect(201);
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    let again = again.data();
    assert_eq!(again["devices"][0]["id"], first["devices"][0]["id"]);
    assert_eq!(again["devices"][0]["activation_code"], Value::Null);
    // The code activates the box.
    let activation = json!({
        "serial_number": "A-1", "activation_code": code, "csr": tests::credentials::new_key().csr_pem(), "firmware_version": "1.0.0",
    });
    let path = "/device/provision/activate";
    let activated = world.anonymous().act(path, &activation).await;
    assert_eq!(activated["device_id"], first["devices"][0]["id"]);
    let path = format!("/admin/devices/{}", text(&first["devices"][1], "id"));
    let second = world.admin().read(&path).await;
    assert_fields!(second, { "communication_mode": "http", "tags": ["batch:7"] });
    let audited = "audit_logs WHERE action = 'device.create'";
    assert_eq!(world.rows(audited).await, 2);
}

#[tokio::test]
async fn a_delivery_may_say_which_language_each_box_speaks() {
    let world = World::new().await;
    let ops = world.staff(Role::Ops).await;
    let head = "serial_number,model,capabilities,language\n";
    let file = format!("{head}A-1,SB-1,speaker,jv\nA-2,SB-1,speaker,\n");
    let import = ops.post_csv(IMPORT, &[], &file).await.expect(201).data();
    for (number, language) in [(0, "jv"), (1, "id")] {
        let id = text(&import["devices"][number], "id");
        let config = ops.read(&format!("/admin/devices/{id}/config")).await;
        assert_eq!(config["config"]["language"], language);
        let own = config["layers"]["device"].as_object().unwrap();
        assert_eq!(own.is_empty(), language == "id", "{own:?}");
    }
    let wrong = format!("{head}A-3,SB-1,speaker,fr\n");
    let refused = ops.post_csv(IMPORT, &[], &wrong).await;
    refused.refused_field("row 2.language");
}

#[tokio::test]
async fn a_spreadsheets_file_registers_the_same_boxes() {
    let world = World::new().await;
    let ops = world.staff(Role::Ops).await;
    let files: [(&str, &[u8]); 7] = [
        ("semicolons", b"serial_number;model;capabilities\r\n#-1;SB-1;\"speaker;display\"\r\n#-2;SB-1;speaker\r\n"),
        ("sep", b"sep=;\r\nserial_number;model;capabilities\r\n#-1;SB-1;speaker display\r\n#-2;SB-1;speaker\r\n;;\r\n"),
        ("tabs", b"Serial Number\tModel\tCapabilities\n#-1\tSB-1\tSpeaker,Display\n#-2\tSB-1\tspeaker"),
        ("mark", b"\xef\xbb\xbfserial_number,model,capabilities\n#-1,SB-1,speaker;display\n#-2,SB-1,speaker\n"),
        ("blank-rows", b"serial_number,model,capabilities,,\n,,,,\n#-1,SB-1,speaker;display,,\n\n,,,,\n#-2,SB-1,speaker\n,,,,\n"),
        ("quotes", b"\"serial_number\",\"MODEL\",\"capabilities\"\r\n\"#-1\",\"SB-1\",\"speaker;display\"\r\n #-2 , SB-1 , speaker \r\n"),
        ("windows", b"serial_number;model;capabilities;communication_mode;tags\r\n#-1;Caf\xe9;speaker|display;MQTT;\r\n#-2;SB-1;speaker;;\r\n"),
    ];
    for (number, (name, file)) in (1..).zip(files) {
        // Each file has boxes of its own.
        let own = |byte: &u8| if *byte == b'#' { b'A' + number } else { *byte };
        let file: Vec<u8> = file.iter().map(own).collect();
        let headers = [("content-type", "text/csv"), ("idempotency-key", name)];
        let import = ops.call(Method::POST, IMPORT, &headers, Some(file)).await;
        assert_eq!(import.status, 201, "{name}: {import}");
        let import = import.data();
        assert_eq!(import["imported"], 2, "{name}");
        let first = format!("/admin/devices/{}", text(&import["devices"][0], "id"));
        let first = world.admin().read(&first).await;
        let both = json!(["display", "speaker"]);
        assert_eq!(first["capabilities"], both, "{name}");
    }
    assert_eq!(world.rows("devices").await, 14);
    assert_eq!(world.rows("devices WHERE model = 'Café'").await, 1);
    // A file that cannot be read is refused, and registers nothing.
    for file in [
        &b"\xff\xfes\0e\0r\0"[..],
        b"serial_number,model,capabilities\nX-1,SB-1,speaker,,too much\n",
    ] {
        let (headers, file) = ([("content-type", "text/csv")], Some(file.to_vec()));
        let answer = ops.call(Method::POST, IMPORT, &headers, file).await;
        answer.refused(VALIDATION_FAILED);
    }
    assert_eq!(world.rows("devices").await, 14);
}

#[tokio::test]
async fn a_file_with_a_mistake_registers_nothing_and_names_the_row() {
    let world = World::new().await;
    let admin = world.admin();
    let known = register(&world).await.serial_number;
    let before = world.rows("devices").await;
    let good = format!("{HEADER}A-1,SB-1,speaker,,\n");
    let mistakes = [
        (
            format!("{good}A-2,SB-1,telepathy,,\n"),
            "row 3.capabilities",
        ),
        (format!("{good}A-1,SB-1,speaker,,\n"), "row 3.serial_number"),
        (
            format!("{good}{known},SB-1,speaker,,\n"),
            "row 3.serial_number",
        ),
        (
            format!("{HEADER}A-1,SB-1,speaker,,Two words!\n"),
            "row 2.tags",
        ),
        (format!("{HEADER}A-1,SB-1\n"), "row 2."),
        ("serial_number,colour\nA-1,red\n".to_owned(), "row 1.colour"),
        (HEADER.to_owned(), ""),
    ];
    for (file, field) in mistakes {
        let answer = admin.post_csv(IMPORT, &[], &file).await;
        answer.refused(VALIDATION_FAILED);
        let fields = answer.json()["details"]["fields"].take();
        let mut fields = fields.as_array().unwrap().iter();
        assert!(
            fields.any(|wrong| wrong["field"] == field),
            "{field}: {answer}"
        );
    }
    let mut many = HEADER.to_owned();
    for number in 0..=1_000 {
        writeln!(many, "N-{number},SB-1,speaker,,").unwrap();
    }
    assert_refused!(admin.post_csv(IMPORT, &[], &many), VALIDATION_FAILED);
    assert_refused!(admin.post(IMPORT, &json!({})), UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(world.rows("devices").await, before);
}

#[tokio::test]
async fn boxes_are_found_by_what_is_known_of_them() {
    let world = World::new().await;
    let admin = world.admin();
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    let bound = Credentials::at(&world, shop.terminal().id).await;
    bound.heartbeat(&world, "2.0.0").await;
    let file = format!(
        "{HEADER}Jkt_001,SB-1,speaker,,area:jakarta;pilot\nBDG-001,SB-2,speaker,,area:bandung\n"
    );
    let _ = admin.post_csv(IMPORT, &[], &file).await.expect(201);
    let own = bound.serial_number.as_str();
    for (filter, expected) in [
        ("tag=pilot", set(&["Jkt_001"])),
        ("tag=area:bandung", set(&["BDG-001"])),
        ("q=g-00", set(&["BDG-001"])),
        ("q=JKT_", set(&["Jkt_001"])),
        ("q=t%25", set(&[])),
        ("model=SB-2", set(&["BDG-001"])),
        ("firmware_version=2.0.0", set(&[own])),
        (&format!("merchant_id={}", shop.merchant_id), set(&[own])),
        (&format!("q={}", bound.device_id), set(&[own])),
        ("tag=pilot&model=SB-2", set(&[])),
        ("online=true", set(&[])),
    ] {
        assert_eq!(found(&world, filter).await, expected, "{filter}");
    }
    let path = format!("/admin/devices/{}", bound.device_id);
    let tags = json!({ "tags": ["pilot", "b", "pilot"] });
    let tagged = admin.change(&path, &tags).await;
    assert_eq!(tagged["tags"], json!(["b", "pilot"]));
    assert_eq!(found(&world, "tag=pilot").await, set(&["Jkt_001", own]));
    // A merchant sees its box, and not the operator's tags.
    let owner = world.owner(shop.merchant_id).await;
    let own_boxes = owner.read("/merchant/devices").await;
    assert_fields!(own_boxes[0], { "serial_number": own, "tags": [] });
    for wrong in [
        json!(["Two words"]),
        json!([""]),
        json!(vec!["x"; 21]),
        json!("pilot"),
    ] {
        admin
            .patch(&path, &json!({ "tags": wrong }))
            .await
            .refused(VALIDATION_FAILED);
    }
    let untouched = admin.change(&path, &json!({ "model": "SB-1" })).await;
    assert_eq!(untouched["tags"], json!(["b", "pilot"]));
    admin.change(&path, &json!({ "tags": [] })).await;
    assert_eq!(found(&world, "tag=pilot").await, set(&["Jkt_001"]));
}

#[tokio::test]
async fn an_export_has_every_box_and_no_formula() {
    let world = World::new().await;
    let admin = world.admin();
    let mut file = "serial_number,model,capabilities,tags\n".to_owned();
    for number in 0..600 {
        writeln!(file, "E-{number:04},SB-1,speaker,bulk").unwrap();
    }
    let _ = admin.post_csv(IMPORT, &[], &file).await.expect(201);
    let odd =
        json!({ "serial_number": "ODD-1", "model": "=1+1, \"new\"", "capabilities": ["speaker"] });
    admin.create("/admin/devices", &odd).await;
    let support = world.staff(Role::Support).await;
    let answer = support.get("/admin/devices/export.csv").await.expect(200);
    assert_eq!(answer.header("content-type"), Some("text/csv"));
    let export = String::from_utf8(answer.body.to_vec()).unwrap();
    let lines: Vec<&str> = export.lines().collect();
    let (head, odd) = (lines[0], lines[1]);
    assert!(
        head.starts_with("id,serial_number,model,capabilities,"),
        "{head}"
    );
    assert_eq!(lines.len(), 602);
    let expected = "ODD-1,\"'=1+1, \"\"new\"\"\",speaker,mqtt,registered,";
    assert!(odd.contains(expected), "{odd}");
    let serials: BTreeSet<&str> = lines[1..]
        .iter()
        .map(|line| line.split(',').nth(1).unwrap())
        .collect();
    assert_eq!(serials.len(), 601);
    let some = support.get("/admin/devices/export.csv?q=E-000").await;
    let some = some.expect(200);
    assert_eq!(String::from_utf8_lossy(&some.body).lines().count(), 11);
    let finance = world.staff(Role::Finance).await;
    assert_refused!(finance.get("/admin/devices/export.csv"), FORBIDDEN);
}
