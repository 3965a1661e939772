use lifecycle::State;

use super::*;
use crate::image::PinnedImage;
use crate::store::tests::Fixture;

/// It was found while version 1.0 ran, and reaches the driver after 2.0 took its place.
#[test]
fn release_that_was_judged_by_an_image_of_before_is_not_taken_and_not_blamed() {
    let fixture = Fixture::new();
    let container = fixture.signed(State::builtin());
    let order = Order::example(PinnedImage::example(), &container.spec.config_digest);
    let intended = intent(&container, false, &order).unwrap();
    assert_eq!(intended.from, container.spec.image_part());

    let second = ImagePart { config_digest: "sha256:2.0".to_owned(), ..container.spec.image_part() };
    let upgraded = Container { spec: container.spec.with_image(&second).unwrap(), ..container };
    let refused = intent(&upgraded, false, &order).unwrap_err();
    // Of the codes for which nobody is blamed: it is judged anew by what runs.
    assert!(matches!(refused, CommandError::NotNow { code: Code::UpgradeOpen, .. }), "{refused:?}");
}

#[test]
fn container_that_is_held_or_does_not_run_takes_no_release() {
    let fixture = Fixture::new();
    let container = fixture.signed(State::builtin());
    let order = Order::example(PinnedImage::example(), &container.spec.config_digest);
    let pinned = intent(&container, true, &order).unwrap_err();
    assert!(matches!(pinned, CommandError::NotNow { code: Code::Pinned, .. }), "{pinned:?}");
    let upgrading = State { upgrading: true, ..container.state };
    let upgrading = intent(&Container { state: upgrading, ..container }, false, &order).unwrap_err();
    assert!(matches!(upgrading, CommandError::Refused(_)), "{upgrading:?}");
}
