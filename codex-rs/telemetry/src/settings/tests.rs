use super::*;

fn read(variables: &[(&str, &str)], configured: &Configured) -> (Settings, Vec<String>) {
    let variable = |name: &str| {
        variables
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| (*value).to_owned())
    };
    Settings::read(&variable, configured)
}

fn configured() -> Configured {
    let exporter = |signal: &str| Exporter {
        endpoint: format!("https://configured.example/{signal}?key=secret"),
        headers: vec![("x-key".to_owned(), Secret::new("hush"))],
    };
    Configured {
        traces: Some(exporter("t")),
        metrics: Some(exporter("m")),
        environment: Some("staging".to_owned()),
    }
}

fn shown(settings: &Settings) -> (Option<&str>, Option<&str>) {
    (
        settings.traces.as_ref().map(Destination::shown),
        settings.metrics.as_ref().map(Destination::shown),
    )
}

#[test]
fn nothing_is_sent_unless_an_endpoint_is_named() {
    for variables in [
        &[][..],
        &[("OTEL_SERVICE_NAME", "x"), ("TRACEPARENT", "x")],
        &[("OTEL_EXPORTER_OTLP_HEADERS", "a=b")],
        &[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318"),
            ("OTEL_SDK_DISABLED", "TRUE"),
        ],
    ] {
        let (settings, warnings) = read(variables, &Configured::default());
        assert!(!settings.is_on(), "{variables:?}");
        assert!(warnings.is_empty(), "{warnings:?}");
    }
}

#[test]
fn endpoints_follow_the_specification() {
    let shared = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318/base/");
    type Shown<'a> = (Option<&'a str>, Option<&'a str>);
    let cases: &[(&[(&str, &str)], Shown<'_>)] = &[
        (
            &[shared],
            (
                Some("http://127.0.0.1:4318/base/v1/traces"),
                Some("http://127.0.0.1:4318/base/v1/metrics"),
            ),
        ),
        (
            &[
                shared,
                (
                    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
                    "http://127.0.0.1:1/as-is",
                ),
                ("OTEL_METRICS_EXPORTER", "none"),
            ],
            (Some("http://127.0.0.1:1/as-is"), None),
        ),
        (
            &[("OTEL_TRACES_EXPORTER", "otlp")],
            (Some("http://localhost:4318/v1/traces"), None),
        ),
    ];
    for (variables, expected) in cases {
        let (settings, warnings) = read(variables, &Configured::default());
        assert_eq!(shown(&settings), *expected, "{variables:?}");
        assert!(warnings.is_empty(), "{warnings:?}");
    }
}

#[test]
fn the_environment_goes_before_the_configuration() {
    let (settings, _) = read(&[], &configured());
    assert_eq!(
        shown(&settings),
        (
            Some("https://configured.example/t"),
            Some("https://configured.example/m")
        )
    );
    assert!(settings.resource.contains(&(
        "deployment.environment.name".to_owned(),
        "staging".to_owned()
    )));
    let (settings, _) = read(
        &[
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://127.0.0.1:1/t"),
            ("OTEL_METRICS_EXPORTER", "none"),
            ("OTEL_SERVICE_NAME", "mine"),
            ("OTEL_RESOURCE_ATTRIBUTES", "team=a%2Cb,service.name=other"),
        ],
        &configured(),
    );
    assert_eq!(shown(&settings), (Some("http://127.0.0.1:1/t"), None));
    for (name, value) in [("team", "a,b"), ("service.name", "mine")] {
        let found: Vec<_> = settings
            .resource
            .iter()
            .filter(|(n, _)| n == name)
            .collect();
        assert_eq!(found, [&(name.to_owned(), value.to_owned())]);
    }
}

#[test]
fn what_cannot_be_used_is_off_and_says_so_without_telling_secrets() {
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318");
    for variables in [
        &[endpoint, ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")][..],
        &[endpoint, ("OTEL_EXPORTER_OTLP_HEADERS", "hush")],
        &[endpoint, ("OTEL_EXPORTER_OTLP_HEADERS", "a=hush%0d%0ahush")],
        &[endpoint, ("OTEL_EXPORTER_OTLP_HEADERS", "host=hush")],
        &[("OTEL_EXPORTER_OTLP_ENDPOINT", "ftp://hush")],
        &[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://me:hush@127.0.0.1")],
    ] {
        let (settings, warnings) = read(variables, &Configured::default());
        assert!(!settings.is_on(), "{variables:?}");
        assert_eq!(warnings.len(), 2, "{warnings:?}");
        assert!(
            !format!("{warnings:?}{settings:?}").contains("hush"),
            "{warnings:?}"
        );
    }
    let (settings, warnings) = read(
        &[endpoint, (SAMPLER, "jaeger_remote")],
        &Configured::default(),
    );
    assert!(settings.traces.is_none() && settings.metrics.is_some());
    assert!(
        warnings[0].starts_with("no traces are sent: "),
        "{warnings:?}"
    );
    let certificate = ("OTEL_EXPORTER_OTLP_CERTIFICATE", "ca.pem");
    let (settings, warnings) = read(&[endpoint, certificate], &Configured::default());
    assert!(settings.is_on());
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(
        warnings[0].contains("OTEL_EXPORTER_OTLP_CERTIFICATE"),
        "{warnings:?}"
    );
    for (word, delta, warned) in [
        ("Delta", true, 0),
        ("LOWMEMORY", true, 0),
        ("cumulative", false, 0),
        ("sometimes", false, 1),
    ] {
        let (settings, warnings) = read(&[endpoint, (TEMPORALITY, word)], &Configured::default());
        assert_eq!((settings.delta, warnings.len()), (delta, warned), "{word}");
    }
    let (settings, warnings) = read(
        &[
            endpoint,
            ("OTEL_BSP_MAX_QUEUE_SIZE", "many"),
            ("OTEL_METRIC_EXPORT_INTERVAL", "0"),
        ],
        &Configured::default(),
    );
    assert_eq!((settings.queue, settings.interval.as_millis()), (2048, 100));
    assert_eq!(
        warnings,
        ["OTEL_BSP_MAX_QUEUE_SIZE is not a whole number; 2048 is used"]
    );
}
