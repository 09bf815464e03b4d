use nasrl_controller::{Config, ConfigError, Optimizer, Preset};

#[test]
fn presets_survive_toml_and_are_valid() {
    for preset in Preset::ALL {
        let config = preset.config();
        config.validate().unwrap();
        let text = toml::to_string(&config).unwrap();
        assert_eq!(toml::from_str::<Config>(&text).unwrap(), config, "{text}");
        assert_eq!(preset.to_string().parse::<Preset>().unwrap(), preset);
    }
    assert!(matches!("papers".parse::<Preset>(), Err(ConfigError::Preset { .. })));
}

#[test]
fn keys_are_in_kebab_case_and_the_rest_is_the_default() {
    let text = "learning-rate = 0.1\nclip-norm = inf\noptimizer = { kind = \"rms-prop\" }";
    let config: Config = toml::from_str(text).unwrap();
    let optimizer = Optimizer::RmsProp { decay: 0.9, momentum: 0.0, epsilon: 1e-10 };
    let expected = Config {
        learning_rate: 0.1,
        clip_norm: f64::INFINITY,
        optimizer,
        ..Preset::Default.config()
    };
    assert_eq!(config, expected);
    for text in ["learning_rate = 0.1", "optimizer = { kind = \"sgd\", beta1 = 0.9 }"] {
        assert!(toml::from_str::<Config>(text).is_err(), "{text}");
    }
}

#[test]
fn values_outside_their_range_are_refused_by_name() {
    let refused = |text: &str| {
        let config: Config = toml::from_str(text).unwrap();
        match config.validate() {
            Err(ConfigError::Range { key, .. }) => key,
            other => panic!("{text}: {other:?}"),
        }
    };
    for (key, value) in [
        ("layers", "0"),
        ("units", "70000"),
        ("children-per-update", "0"),
        ("initial-range", "-0.1"),
        ("learning-rate", "nan"),
        ("learning-rate-factor", "1.5"),
        ("learning-rate-period", "0"),
        ("clip-norm", "0.0"),
        ("baseline-decay", "1.0"),
        ("advantage-limit", "-inf"),
        ("entropy-weight", "inf"),
        ("queue-size", "0"),
        ("redraws", "1000000"),
    ] {
        assert_eq!(refused(&format!("{key} = {value}")), key);
    }
    let optimizer = "optimizer = { kind = \"adam\", beta2 = 1.0 }";
    assert_eq!(refused(optimizer), "optimizer.beta2");
}
