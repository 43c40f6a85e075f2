-- What every table, view and column of the schema means. Applied in the transaction of each migration, after all
-- migrations, so this file describes the newest schema. `zoning db tables` makes docs/reference/tables.md of it.
-- Times are timestamptz. Geometries are in the target CRS of their jurisdiction (EPSG:4326 or EPSG:3857), axis order x, y
-- (longitude, latitude). Areas are square metres in an equal-area CRS chosen for the jurisdiction.

COMMENT ON TABLE zoning.batch IS 'One transaction that published one harvest of one feed at one place, or that undid earlier batches.';
COMMENT ON COLUMN zoning.batch.id IS 'Number of the batch; a later batch has a larger number.';
COMMENT ON COLUMN zoning.batch.jurisdiction IS 'Id of the jurisdiction, as in its file.';
COMMENT ON COLUMN zoning.batch.tile IS 'H3 cell whose rows were published; NULL: the whole jurisdiction.';
COMMENT ON COLUMN zoning.batch.feed IS 'parcels, zoning, or parcel_zoning.';
COMMENT ON COLUMN zoning.batch.harvest IS 'Id of the published harvest: SHA-256 over what was received. For parcel_zoning: the batches it was computed from.';
COMMENT ON COLUMN zoning.batch.rules IS 'Hash of the rules by which the rows were validated.';
COMMENT ON COLUMN zoning.batch.counts IS 'Rows added, changed, unchanged, retired and rejected.';
COMMENT ON COLUMN zoning.batch.started IS 'When the batch was opened; system_from and system_to of its rows are this time.';
COMMENT ON COLUMN zoning.batch.committed IS 'When its last statement ran.';
COMMENT ON COLUMN zoning.batch.undoes IS 'The first batch that this batch undoes; NULL: it is no rollback.';

COMMENT ON TABLE zoning.parcel IS 'A parcel as it is now.';
COMMENT ON COLUMN zoning.parcel.jurisdiction IS 'Id of the jurisdiction, as in its file.';
COMMENT ON COLUMN zoning.parcel.parcel_id IS 'The natural key that the file names; unique within the jurisdiction.';
COMMENT ON COLUMN zoning.parcel.tile IS 'H3 cell that owns the parcel: it contains the representative point of the parcel.';
COMMENT ON COLUMN zoning.parcel.zoning_code IS 'The zoning code that the parcel layer states, in canonical spelling; NULL: it states none. The zoning by the map is in zoned_parcel.zoning_code.';
COMMENT ON COLUMN zoning.parcel.zoning_code_local IS 'The same code as the portal spells it.';
COMMENT ON COLUMN zoning.parcel.land_use IS 'Land use as the portal states it.';
COMMENT ON COLUMN zoning.parcel.address IS 'Address as the portal states it.';
COMMENT ON COLUMN zoning.parcel.attributes IS 'All other columns of the portal, by their names there.';
COMMENT ON COLUMN zoning.parcel.area_m2 IS 'Area in square metres.';
COMMENT ON COLUMN zoning.parcel.geom IS 'Shape; valid MultiPolygon in the target CRS.';
COMMENT ON COLUMN zoning.parcel.content_hash IS 'Hash of the normalized attributes and of the shape in canonical form; equal hashes: nothing changed.';
COMMENT ON COLUMN zoning.parcel.batch_id IS 'The batch that published this state.';
COMMENT ON COLUMN zoning.parcel.first_seen IS 'When a parcel with this id was first published.';
COMMENT ON COLUMN zoning.parcel.last_changed IS 'Since when this state is published.';

COMMENT ON TABLE zoning.parcel_version IS 'An earlier state of a parcel.';
COMMENT ON COLUMN zoning.parcel_version.system_from IS 'When this state was published.';
COMMENT ON COLUMN zoning.parcel_version.system_to IS 'When it was replaced, retired or undone.';
COMMENT ON COLUMN zoning.parcel_version.legal_from IS 'From which day it applied by law; NULL: not stated.';
COMMENT ON COLUMN zoning.parcel_version.legal_to IS 'Until which day it applied by law; NULL: not stated.';
COMMENT ON COLUMN zoning.parcel_version.ended_by IS 'The batch that ended this state.';

COMMENT ON TABLE zoning.district IS 'A polygon of the zoning map as it is now.';
COMMENT ON COLUMN zoning.district.jurisdiction IS 'Id of the jurisdiction, as in its file.';
COMMENT ON COLUMN zoning.district.district_id IS 'The natural key that the file names; without one, a hash of the content.';
COMMENT ON COLUMN zoning.district.code IS 'Zoning code in canonical spelling.';
COMMENT ON COLUMN zoning.district.code_local IS 'Zoning code as the portal spells it.';
COMMENT ON COLUMN zoning.district.zone_type IS 'Type of the district by the National Zoning Atlas.';
COMMENT ON COLUMN zoning.district.effective IS 'Legal date: the day since which the code applies, as the portal states it.';
COMMENT ON COLUMN zoning.district.attributes IS 'All other columns of the portal, by their names there.';
COMMENT ON COLUMN zoning.district.area_m2 IS 'Area in square metres.';
COMMENT ON COLUMN zoning.district.geom IS 'Shape; valid MultiPolygon in the target CRS.';
COMMENT ON COLUMN zoning.district.content_hash IS 'Hash of the normalized attributes and of the shape in canonical form.';
COMMENT ON COLUMN zoning.district.batch_id IS 'The batch that published this state.';
COMMENT ON COLUMN zoning.district.first_seen IS 'When a district with this id was first published.';
COMMENT ON COLUMN zoning.district.last_changed IS 'Since when this state is published.';

COMMENT ON TABLE zoning.district_version IS 'An earlier state of a polygon of the zoning map.';
COMMENT ON COLUMN zoning.district_version.system_from IS 'When this state was published.';
COMMENT ON COLUMN zoning.district_version.system_to IS 'When it was replaced, retired or undone.';
COMMENT ON COLUMN zoning.district_version.legal_from IS 'From which day it applied by law; NULL: not stated.';
COMMENT ON COLUMN zoning.district_version.legal_to IS 'Until which day it applied by law; NULL: not stated.';
COMMENT ON COLUMN zoning.district_version.ended_by IS 'The batch that ended this state.';

COMMENT ON TABLE zoning.parcel_zoning IS 'How much of a parcel lies in a zoning code now: one row for each parcel, facet and code that overlap.';
COMMENT ON COLUMN zoning.parcel_zoning.jurisdiction IS 'Id of the jurisdiction, as in its file.';
COMMENT ON COLUMN zoning.parcel_zoning.parcel_id IS 'The parcel.';
COMMENT ON COLUMN zoning.parcel_zoning.facet IS 'Which part of a code: base, overlay, condition, or pud (planned unit development).';
COMMENT ON COLUMN zoning.parcel_zoning.code IS 'Zoning code in canonical spelling.';
COMMENT ON COLUMN zoning.parcel_zoning.area_m2 IS 'Area of the overlap in square metres.';
COMMENT ON COLUMN zoning.parcel_zoning.fraction IS 'Area of the overlap as a share of the parcel, 0 to 1.';
COMMENT ON COLUMN zoning.parcel_zoning.rank IS 'Order within the facet by area; 1: the largest.';
COMMENT ON COLUMN zoning.parcel_zoning.listed IS 'Whether the code counts for the parcel, by the split-lot rules of the New York City Department of City Planning: a tenth of the parcel, or its largest code, or the parcel that holds most of a district.';
COMMENT ON COLUMN zoning.parcel_zoning.effective IS 'Legal date: the latest one that the districts state; NULL: none stated.';
COMMENT ON COLUMN zoning.parcel_zoning.batch_id IS 'The batch that published this state.';
COMMENT ON COLUMN zoning.parcel_zoning.last_changed IS 'Since when this state is published.';

COMMENT ON TABLE zoning.parcel_zoning_version IS 'Earlier zoning of a parcel; the rows of one parcel with one system_from belong together.';
COMMENT ON COLUMN zoning.parcel_zoning_version.system_from IS 'When this state was published.';
COMMENT ON COLUMN zoning.parcel_zoning_version.system_to IS 'When it was replaced or undone.';
COMMENT ON COLUMN zoning.parcel_zoning_version.legal_from IS 'From which day it applied by law; NULL: not stated.';
COMMENT ON COLUMN zoning.parcel_zoning_version.legal_to IS 'Until which day it applied by law; NULL: not stated.';
COMMENT ON COLUMN zoning.parcel_zoning_version.ended_by IS 'The batch that ended this state.';

COMMENT ON VIEW zoning.zoned_parcel IS 'A parcel with its zoning in one row, for maps and queries.';
COMMENT ON COLUMN zoning.zoned_parcel.id IS 'Integer of 53 bits, computed from jurisdiction and parcel_id: the key for programs that need one column, such as QGIS.';
COMMENT ON COLUMN zoning.zoned_parcel.jurisdiction IS 'Id of the jurisdiction, as in its file.';
COMMENT ON COLUMN zoning.zoned_parcel.parcel_id IS 'The natural key; unique within the jurisdiction.';
COMMENT ON COLUMN zoning.zoned_parcel.zoning_code IS 'The base code that covers most of the parcel on the zoning map; NULL: the map has none there.';
COMMENT ON COLUMN zoning.zoned_parcel.zoning_codes IS 'All base codes that count for the parcel, the largest first.';
COMMENT ON COLUMN zoning.zoned_parcel.zone_type IS 'Type of zoning_code by the National Zoning Atlas; NULL: not declared.';
COMMENT ON COLUMN zoning.zoned_parcel.split_zoned IS 'Whether more than one base code counts.';
COMMENT ON COLUMN zoning.zoned_parcel.zoned_fraction IS 'Share of the parcel that lies in any base code, 0 to 1.';
COMMENT ON COLUMN zoning.zoned_parcel.overlays IS 'Overlay codes on the parcel, the largest first.';
COMMENT ON COLUMN zoning.zoned_parcel.conditions IS 'Conditions on the parcel, the largest first.';
COMMENT ON COLUMN zoning.zoned_parcel.puds IS 'Planned unit developments on the parcel, the largest first.';
COMMENT ON COLUMN zoning.zoned_parcel.parcel_layer_code IS 'The code that the parcel layer itself states, in canonical spelling.';
COMMENT ON COLUMN zoning.zoned_parcel.agrees IS 'Whether parcel_layer_code equals zoning_code; NULL: one of them is missing.';
COMMENT ON COLUMN zoning.zoned_parcel.address IS 'Address as the portal states it.';
COMMENT ON COLUMN zoning.zoned_parcel.land_use IS 'Land use as the portal states it.';
COMMENT ON COLUMN zoning.zoned_parcel.area_m2 IS 'Area in square metres.';
COMMENT ON COLUMN zoning.zoned_parcel.last_changed IS 'Since when this state of the parcel is published; its zoning may have changed later.';
COMMENT ON COLUMN zoning.zoned_parcel.geom IS 'Shape; MultiPolygon in EPSG:4326, also if the target CRS is another.';
COMMENT ON COLUMN zoning.zoned_parcel.zoning_code_local IS 'zoning_code as the portal spells it; the first spelling if it has several.';
COMMENT ON COLUMN zoning.zoned_parcel.zoning_share IS 'Share of the parcel that lies in zoning_code, 0 to 1.';

COMMENT ON VIEW zoning.zoned_district IS 'A district of the zoning map, for maps and queries.';
COMMENT ON COLUMN zoning.zoned_district.id IS 'Integer of 53 bits, computed from jurisdiction and district_id: the key for programs that need one column, such as QGIS.';
COMMENT ON COLUMN zoning.zoned_district.jurisdiction IS 'Id of the jurisdiction, as in its file.';
COMMENT ON COLUMN zoning.zoned_district.district_id IS 'Id of the district, as in the table district.';
COMMENT ON COLUMN zoning.zoned_district.code IS 'The zoning code in canonical spelling; NULL: the map states none.';
COMMENT ON COLUMN zoning.zoned_district.code_local IS 'The zoning code as the portal spells it.';
COMMENT ON COLUMN zoning.zoned_district.zone_type IS 'Type of the code by the National Zoning Atlas; NULL: not declared.';
COMMENT ON COLUMN zoning.zoned_district.effective IS 'Legal date that the map states; NULL: none stated.';
COMMENT ON COLUMN zoning.zoned_district.area_m2 IS 'Area in square metres.';
COMMENT ON COLUMN zoning.zoned_district.last_changed IS 'Since when this state of the district is published.';
COMMENT ON COLUMN zoning.zoned_district.geom IS 'Shape; MultiPolygon in EPSG:4326, also if the target CRS is another.';

COMMENT ON VIEW zoning.change_feature IS 'A change that has a place, for maps and queries; one row for each change.';
COMMENT ON COLUMN zoning.change_feature.id IS 'Id of the change.';
COMMENT ON COLUMN zoning.change_feature.jurisdiction IS 'Id of the jurisdiction, as in its file.';
COMMENT ON COLUMN zoning.change_feature.kind IS 'What happened, such as rezoned, split or recoded.';
COMMENT ON COLUMN zoning.change_feature.state IS 'event; review: thinner than the tolerance, a person decides; retracted: it was wrong.';
COMMENT ON COLUMN zoning.change_feature.facet IS 'What changed: base, overlay, condition or pud of the zoning; parcel: the parcels.';
COMMENT ON COLUMN zoning.change_feature.parcel_ids IS 'The parcels that changed.';
COMMENT ON COLUMN zoning.change_feature.old IS 'What was before.';
COMMENT ON COLUMN zoning.change_feature.new IS 'What is now.';
COMMENT ON COLUMN zoning.change_feature.area_m2 IS 'The area that changed, in square metres.';
COMMENT ON COLUMN zoning.change_feature.share IS 'The share of the parcel that changed, 0 to 1.';
COMMENT ON COLUMN zoning.change_feature.confidence IS 'Confidence from the change alone, 0 to 1; an ordinance or the parcel layer may raise it (see `zoning changes`).';
COMMENT ON COLUMN zoning.change_feature.effective IS 'Legal date that the map states; NULL: none stated.';
COMMENT ON COLUMN zoning.change_feature.detected IS 'When this database first saw the change.';
COMMENT ON COLUMN zoning.change_feature.geom IS 'The area that changed, in EPSG:4326.';

COMMENT ON TABLE zoning.best_lot IS 'The parcel that holds most of a district; the code of the district counts for it.';
COMMENT ON COLUMN zoning.best_lot.jurisdiction IS 'Id of the jurisdiction, as in its file.';
COMMENT ON COLUMN zoning.best_lot.district_id IS 'The district.';
COMMENT ON COLUMN zoning.best_lot.parcel_id IS 'The parcel.';

COMMENT ON TABLE zoning.code IS 'The canonical spelling and the type of each zoning code that was ever published.';
COMMENT ON COLUMN zoning.code.jurisdiction IS 'Id of the jurisdiction; codes are never compared between jurisdictions.';
COMMENT ON COLUMN zoning.code.local IS 'The code as the portal spells it.';
COMMENT ON COLUMN zoning.code.code IS 'The code in canonical spelling; a spelling once given stays.';
COMMENT ON COLUMN zoning.code.zone_type IS 'Type by the National Zoning Atlas; NULL: the file declares none.';
COMMENT ON COLUMN zoning.code.rules IS 'Hash of the rules that gave spelling and type.';
COMMENT ON COLUMN zoning.code.since IS 'When this spelling or type was set.';

COMMENT ON TABLE zoning.rejection IS 'A row of the portal that was not published, with the reason.';
COMMENT ON COLUMN zoning.rejection.id IS 'Number of the rejection.';
COMMENT ON COLUMN zoning.rejection.batch_id IS 'The batch that rejected it; NULL: so many rows were rejected that nothing was published.';
COMMENT ON COLUMN zoning.rejection.jurisdiction IS 'Id of the jurisdiction, as in its file.';
COMMENT ON COLUMN zoning.rejection.tile IS 'H3 cell of the row; NULL: the whole jurisdiction.';
COMMENT ON COLUMN zoning.rejection.feed IS 'parcels or zoning.';
COMMENT ON COLUMN zoning.rejection.reason IS 'Why it was rejected, in one word, such as no_geometry, null_key or repeated_key.';
COMMENT ON COLUMN zoning.rejection.detail IS 'Details of what is wrong with the row.';
COMMENT ON COLUMN zoning.rejection.raw IS 'The row as the portal sent it.';
COMMENT ON COLUMN zoning.rejection.state IS 'open; known: a person marked it, no person has to act; superseded: a later batch validated the rows again.';
COMMENT ON COLUMN zoning.rejection.row_id IS 'Id of the raw row, without columns that servers renumber: what `zoning fix` takes. The same id in the next harvest: the portal sent the same row.';

COMMENT ON TABLE zoning.fix IS 'What a person decided about a rejected row; it applies to each harvest that contains exactly the same row.';
COMMENT ON COLUMN zoning.fix.id IS 'Number of the fix.';
COMMENT ON COLUMN zoning.fix.row_id IS 'The rejected row, as in rejection.row_id.';
COMMENT ON COLUMN zoning.fix.jurisdiction IS 'Id of the jurisdiction, as in its file.';
COMMENT ON COLUMN zoning.fix.feed IS 'parcels or zoning.';
COMMENT ON COLUMN zoning.fix.tile IS 'H3 cell of the row; NULL: the whole jurisdiction.';
COMMENT ON COLUMN zoning.fix.action IS 'fix: values are replaced; known: the row stays rejected, and no person has to act.';
COMMENT ON COLUMN zoning.fix.columns IS 'New values, by the columns of the portal.';
COMMENT ON COLUMN zoning.fix.geom IS 'The new shape; EPSG:4326. NULL: the shape is not replaced.';
COMMENT ON COLUMN zoning.fix.key IS 'The natural key that the row has with this fix.';
COMMENT ON COLUMN zoning.fix.reason IS 'Why, in the words of the person.';
COMMENT ON COLUMN zoning.fix.actor IS 'Who.';
COMMENT ON COLUMN zoning.fix.since IS 'When it was made.';
COMMENT ON COLUMN zoning.fix.used IS 'The last batch that used it.';
COMMENT ON COLUMN zoning.fix.ended IS 'When it stopped applying; NULL: it applies.';
COMMENT ON COLUMN zoning.fix.ended_by IS 'Who ended it.';
COMMENT ON COLUMN zoning.fix.ended_why IS 'Why it ended.';

COMMENT ON TABLE zoning.release IS 'What was published between two batches; it is compared as a unit, and its changes are in zoning.change.';
COMMENT ON COLUMN zoning.release.id IS 'Number of the release.';
COMMENT ON COLUMN zoning.release.jurisdiction IS 'Id of the jurisdiction, as in its file.';
COMMENT ON COLUMN zoning.release.parcels_from IS 'Last batch of the parcels before it.';
COMMENT ON COLUMN zoning.release.parcels_to IS 'Last batch of the parcels in it.';
COMMENT ON COLUMN zoning.release.zoning_from IS 'Last batch of the map before it.';
COMMENT ON COLUMN zoning.release.zoning_to IS 'Last batch of the map in it.';
COMMENT ON COLUMN zoning.release.rules IS 'Hash of the rules by which it was compared; rollback: it only marks a rollback.';
COMMENT ON COLUMN zoning.release.drift_m IS 'Metres by which unchanged boundaries were redrawn; 99 percent of them moved less.';
COMMENT ON COLUMN zoning.release.moved IS 'Share of the unchanged boundaries that moved by more than a millimetre, 0 to 1.';
COMMENT ON COLUMN zoning.release.tolerance_m IS 'Metres; a changed area that is narrower is not an event, a person reviews it.';
COMMENT ON COLUMN zoning.release.alarms IS 'Reasons why the whole map may be wrong; empty: none.';
COMMENT ON COLUMN zoning.release.refused IS 'The batch of the map that was refused because of its alarms; NULL: it was not refused.';
COMMENT ON COLUMN zoning.release.accepted_by IS 'Who accepted the refused map.';
COMMENT ON COLUMN zoning.release.counts IS 'Number of changes by kind and state.';
COMMENT ON COLUMN zoning.release.judged IS 'When it was compared.';

COMMENT ON TABLE zoning.whole IS 'The last batch after which all places of a feed come from one state of its layer; only such states are compared.';
COMMENT ON COLUMN zoning.whole.jurisdiction IS 'Id of the jurisdiction, as in its file.';
COMMENT ON COLUMN zoning.whole.feed IS 'parcels or zoning.';
COMMENT ON COLUMN zoning.whole.batch_id IS 'The batch.';

COMMENT ON TABLE zoning.change IS 'One typed and explained change.';
COMMENT ON COLUMN zoning.change.id IS 'Computed from what happened, not from when it was found: a second run adds nothing.';
COMMENT ON COLUMN zoning.change.jurisdiction IS 'Id of the jurisdiction, as in its file.';
COMMENT ON COLUMN zoning.change.kind IS 'What happened: rezoned, partly_rezoned, reverted, reinstated, zoned, unzoned, recoded, redrawn, split, merged, renumbered, reshaped, added, retired and others.';
COMMENT ON COLUMN zoning.change.state IS 'event; review: narrower than the tolerance, a person decides; retracted: the batch behind it was undone, or a person dismissed it.';
COMMENT ON COLUMN zoning.change.facet IS 'Which part of the zoning changed: base, overlay, condition, pud; parcel: the parcels themselves.';
COMMENT ON COLUMN zoning.change.parcel_ids IS 'The parcels that it concerns.';
COMMENT ON COLUMN zoning.change.old IS 'Before: a code, or parcel ids; NULL: nothing.';
COMMENT ON COLUMN zoning.change.new IS 'After: a code, or parcel ids; NULL: nothing.';
COMMENT ON COLUMN zoning.change.area_m2 IS 'Changed area in square metres.';
COMMENT ON COLUMN zoning.change.share IS 'Changed area as a share of the parcel, 0 to 1.';
COMMENT ON COLUMN zoning.change.confidence IS 'Confidence, 0 to 1, without the amendments and the parcel layer, which `zoning changes` adds.';
COMMENT ON COLUMN zoning.change.effective IS 'Legal date: the day since which the new state applies, as the map states it; NULL: not stated. A matched amendment may state it instead.';
COMMENT ON COLUMN zoning.change.detected IS 'Date of notice: when this program found the change. It says nothing about the law.';
COMMENT ON COLUMN zoning.change.evidence IS 'The numbers behind it, as `zoning explain` shows them.';
COMMENT ON COLUMN zoning.change.geom IS 'The changed area in the target CRS; NULL: the change has no area.';
COMMENT ON COLUMN zoning.change.release_id IS 'The release in which it was found.';

COMMENT ON TABLE zoning.amendment IS 'A zoning case or an ordinance, from a document, a message or a person.';
COMMENT ON COLUMN zoning.amendment.id IS 'Computed from jurisdiction and case.';
COMMENT ON COLUMN zoning.amendment.jurisdiction IS 'Id of the jurisdiction, as in its file.';
COMMENT ON COLUMN zoning.amendment.case_numbers IS 'Numbers of the case.';
COMMENT ON COLUMN zoning.amendment.ordinance_numbers IS 'Numbers of the ordinance.';
COMMENT ON COLUMN zoning.amendment.kind IS 'Kind of amendment, such as map or text; unknown: not stated.';
COMMENT ON COLUMN zoning.amendment.status IS 'Status of the case: filed, hearing, recommended, tabled, withdrawn, denied, adopted, enacted, effective, annulled, repealed, reinstated, unknown.';
COMMENT ON COLUMN zoning.amendment.dates IS 'Legal dates by status (ISO 8601): when it was filed, heard, adopted and so on.';
COMMENT ON COLUMN zoning.amendment.effective IS 'Legal date: the day since which the amendment applies; NULL: not stated.';
COMMENT ON COLUMN zoning.amendment.parcel_ids IS 'Parcels that it names.';
COMMENT ON COLUMN zoning.amendment.place IS 'Place in words, such as an address.';
COMMENT ON COLUMN zoning.amendment.old_codes IS 'Codes before, as written.';
COMMENT ON COLUMN zoning.amendment.new_codes IS 'Codes after, as written.';
COMMENT ON COLUMN zoning.amendment.geom IS 'Area that it concerns, in the target CRS; NULL: not stated.';
COMMENT ON COLUMN zoning.amendment.source IS 'Address or file that it was read from.';
COMMENT ON COLUMN zoning.amendment.source_hash IS 'SHA-256 of that document.';
COMMENT ON COLUMN zoning.amendment.confidence IS 'Confidence of the reading, 0 to 1.';
COMMENT ON COLUMN zoning.amendment.questions IS 'What a person must answer, such as an invalid date.';
COMMENT ON COLUMN zoning.amendment.evidence IS 'The passages of the document that state it.';
COMMENT ON COLUMN zoning.amendment.received IS 'Date of notice: when this program first received it.';
COMMENT ON COLUMN zoning.amendment.last_changed IS 'When its content last changed.';

COMMENT ON TABLE zoning.amendment_version IS 'An earlier state of an amendment.';
COMMENT ON COLUMN zoning.amendment_version.system_to IS 'When it was replaced.';

COMMENT ON TABLE zoning.amendment_match IS 'Which amendment explains which change.';
COMMENT ON COLUMN zoning.amendment_match.amendment_id IS 'The amendment.';
COMMENT ON COLUMN zoning.amendment_match.change_id IS 'The change.';
COMMENT ON COLUMN zoning.amendment_match.score IS 'How well they fit, 0 to 1.';
COMMENT ON COLUMN zoning.amendment_match.reasons IS 'Why they fit.';
COMMENT ON COLUMN zoning.amendment_match.lag_days IS 'Days from the legal date to the date of notice; NULL: no legal date.';

COMMENT ON TABLE zoning.watch IS 'Parcels that a person watches, and the parcels that they became.';
COMMENT ON COLUMN zoning.watch.jurisdiction IS 'Id of the jurisdiction, as in its file.';
COMMENT ON COLUMN zoning.watch.parcel_id IS 'The parcel.';
COMMENT ON COLUMN zoning.watch.since IS 'Since when it is watched.';
COMMENT ON COLUMN zoning.watch.came_from IS 'The watched parcel that became this one; NULL: a person chose it.';

COMMENT ON TABLE zoning.survey IS 'The profile of a release before its publication, and the results of its checks.';
COMMENT ON COLUMN zoning.survey.id IS 'Number of the profile.';
COMMENT ON COLUMN zoning.survey.jurisdiction IS 'Id of the jurisdiction, as in its file.';
COMMENT ON COLUMN zoning.survey.feed IS 'parcels or zoning.';
COMMENT ON COLUMN zoning.survey.state IS 'passed; held: it waits for a person; accepted or discarded by a person; superseded by a later release.';
COMMENT ON COLUMN zoning.survey.whole IS 'Whether it covered all places of the feed.';
COMMENT ON COLUMN zoning.survey.contents IS 'Content hash and harvest by tile; an empty tile name is the whole jurisdiction.';
COMMENT ON COLUMN zoning.survey.measured IS 'The measured values by check.';
COMMENT ON COLUMN zoning.survey.findings IS 'The outcome of each check: value, usual value, limit, whether it failed.';
COMMENT ON COLUMN zoning.survey.fields IS 'Columns of the layer.';
COMMENT ON COLUMN zoning.survey.judged IS 'When it was checked.';

COMMENT ON TABLE zoning.feed IS 'How current a feed is.';
COMMENT ON COLUMN zoning.feed.jurisdiction IS 'Id of the jurisdiction, as in its file.';
COMMENT ON COLUMN zoning.feed.feed IS 'parcels or zoning.';
COMMENT ON COLUMN zoning.feed.probed IS 'When the portal was last probed for changes.';
COMMENT ON COLUMN zoning.feed.next_probe IS 'When it is probed next.';
COMMENT ON COLUMN zoning.feed.why IS 'Why the last probe requested a harvest; NULL: it did not.';
COMMENT ON COLUMN zoning.feed.error IS 'Why the last probe failed; NULL: it did not.';
COMMENT ON COLUMN zoning.feed.requests IS 'Requests that the last probe made.';
COMMENT ON COLUMN zoning.feed.current IS 'When the published rows were last found equal to what the portal has.';
COMMENT ON COLUMN zoning.feed.harvested IS 'When all of it was last published.';

COMMENT ON TABLE zoning.failure IS 'A partition that failed, until it is solved.';
COMMENT ON COLUMN zoning.failure.id IS 'Number of the failure.';
COMMENT ON COLUMN zoning.failure.jurisdiction IS 'Id of the jurisdiction, as in its file.';
COMMENT ON COLUMN zoning.failure.feed IS 'parcels, zoning, or changes.';
COMMENT ON COLUMN zoning.failure.tile IS 'H3 cell that failed; NULL: the whole jurisdiction.';
COMMENT ON COLUMN zoning.failure.kind IS 'Name of the error.';
COMMENT ON COLUMN zoning.failure.message IS 'What, where, and what to do.';
COMMENT ON COLUMN zoning.failure.passes IS 'Whether a retry may succeed without a person.';
COMMENT ON COLUMN zoning.failure.tries IS 'How often it was tried.';
COMMENT ON COLUMN zoning.failure.first IS 'When it first failed.';
COMMENT ON COLUMN zoning.failure.last IS 'When it last failed.';
COMMENT ON COLUMN zoning.failure.not_before IS 'A retry before this time fails.';
COMMENT ON COLUMN zoning.failure.state IS 'waiting for its retry; asked: a retry runs; dead: it waits for a person; solved.';
COMMENT ON COLUMN zoning.failure.asked IS 'When the running retry began.';
COMMENT ON COLUMN zoning.failure.run IS 'Dagster run of the retry.';

COMMENT ON TABLE zoning.host_budget IS 'The rate limit of a host and the state of its responses; shared by all processes. To reset it, delete the row. A NULL time means long ago.';
COMMENT ON COLUMN zoning.host_budget.host IS 'Host name and port.';
COMMENT ON COLUMN zoning.host_budget.ceiling IS 'Requests a minute that the most careful jurisdiction file allows.';
COMMENT ON COLUMN zoning.host_budget.ceiling_until IS 'Until when that file applies if no further request is sent.';
COMMENT ON COLUMN zoning.host_budget.connections IS 'Connections at a time that the most careful file allows.';
COMMENT ON COLUMN zoning.host_budget.connections_until IS 'Until when that file applies if no further request is sent.';
COMMENT ON COLUMN zoning.host_budget.slowed_to IS 'Requests a minute after the last response 429 or 503; the rate increases again from there.';
COMMENT ON COLUMN zoning.host_budget.slowed_at IS 'When the host last responded with 429 or 503.';
COMMENT ON COLUMN zoning.host_budget.slowed_after IS 'Value of asked at that time; responses to earlier requests do not reduce the rate again.';
COMMENT ON COLUMN zoning.host_budget.next_at IS 'The next request is not sent before this time.';
COMMENT ON COLUMN zoning.host_budget.rests_until IS 'The host accepts no request until then (Retry-After).';
COMMENT ON COLUMN zoning.host_budget.stated_limit IS 'Requests that the host allows in its own window, from its headers.';
COMMENT ON COLUMN zoning.host_budget.stated_window_s IS 'Length of that window in seconds.';
COMMENT ON COLUMN zoning.host_budget.stated_left IS 'Requests left in that window.';
COMMENT ON COLUMN zoning.host_budget.stated_until IS 'When that window ends.';
COMMENT ON COLUMN zoning.host_budget.stated_by IS 'Number of the request whose response stated it.';
COMMENT ON COLUMN zoning.host_budget.failures IS 'Failures in a row.';
COMMENT ON COLUMN zoning.host_budget.opened IS 'How often the circuit breaker opened since the last successful response; 0: it is closed.';
COMMENT ON COLUMN zoning.host_budget.open_until IS 'Until when the open circuit breaker permits no request.';
COMMENT ON COLUMN zoning.host_budget.probe IS 'Number of the single request that the open circuit breaker permits.';
COMMENT ON COLUMN zoning.host_budget.probe_until IS 'When that request counts as lost.';
COMMENT ON COLUMN zoning.host_budget.asked IS 'Requests sent in all.';
COMMENT ON COLUMN zoning.host_budget.refused IS 'Requests that the host refused (401, 403, 407, 429, 451, 503).';
COMMENT ON COLUMN zoning.host_budget.failed IS 'Requests that failed (no response, 408, 425, 5xx).';

COMMENT ON TABLE zoning.hold IS 'A pause of a jurisdiction, of a host, or (both NULL) of everything.';
COMMENT ON COLUMN zoning.hold.id IS 'Number of the hold.';
COMMENT ON COLUMN zoning.hold.jurisdiction IS 'Paused jurisdiction; NULL: another kind of hold.';
COMMENT ON COLUMN zoning.hold.host IS 'Paused host; NULL: another kind of hold.';
COMMENT ON COLUMN zoning.hold.reason IS 'Why, in the words of the person.';
COMMENT ON COLUMN zoning.hold.actor IS 'Who.';
COMMENT ON COLUMN zoning.hold.since IS 'When the pause began.';
COMMENT ON COLUMN zoning.hold.until IS 'When it ends automatically; NULL: only when a person ends it.';
COMMENT ON COLUMN zoning.hold.lifted IS 'When a person ended it; NULL: it was not ended.';
COMMENT ON COLUMN zoning.hold.lifted_by IS 'Who ended it.';

COMMENT ON TABLE zoning.audit IS 'What people did and why; append-only, each row chained to the row before by its hash.';
COMMENT ON COLUMN zoning.audit.id IS 'Number of the row, without gaps.';
COMMENT ON COLUMN zoning.audit.at IS 'When.';
COMMENT ON COLUMN zoning.audit.actor IS 'Who.';
COMMENT ON COLUMN zoning.audit.action IS 'What was done, such as pause, rollback or accept.';
COMMENT ON COLUMN zoning.audit.subject IS 'To what.';
COMMENT ON COLUMN zoning.audit.reason IS 'Why, in the words of the person.';
COMMENT ON COLUMN zoning.audit.hash IS 'SHA-256 of this row and of the hash of the row before.';

COMMENT ON TABLE zoning.queue IS 'Messages that wait, unless ZONING_QUEUE_URL names another queue. A queue NAME.dead holds the dead letters of NAME.';
COMMENT ON COLUMN zoning.queue.number IS 'Order of arrival.';
COMMENT ON COLUMN zoning.queue.queue IS 'Name of the queue.';
COMMENT ON COLUMN zoning.queue.id IS 'Id of the message.';
COMMENT ON COLUMN zoning.queue.body IS 'The message, JSON, at most 1 MiB.';
COMMENT ON COLUMN zoning.queue.sent IS 'When it was sent.';
COMMENT ON COLUMN zoning.queue.tries IS 'How often its handling failed.';
COMMENT ON COLUMN zoning.queue.why IS 'Why it failed last.';
COMMENT ON COLUMN zoning.queue.deliveries IS 'How often it was taken.';
COMMENT ON COLUMN zoning.queue.leased_until IS 'Until when the consumer that took it may work on it; NULL: no consumer has it.';

COMMENT ON TABLE zoning.received IS 'Messages whose amendment is stored: a second delivery changes nothing.';
COMMENT ON COLUMN zoning.received.message_id IS 'Id of the message.';
COMMENT ON COLUMN zoning.received.at IS 'When it was stored.';

COMMENT ON TABLE zoning.change_log IS 'What subscriptions are told: each change when it is found, retracted or restored, and each published batch. Triggers write it.';
COMMENT ON COLUMN zoning.change_log.number IS 'Order of writing.';
COMMENT ON COLUMN zoning.change_log.position IS 'Order of delivery, which follows the order of commits; NULL: not given yet. A later row never gets a smaller position.';
COMMENT ON COLUMN zoning.change_log.jurisdiction IS 'Id of the jurisdiction, as in its file.';
COMMENT ON COLUMN zoning.change_log.action IS 'added, changed, retired: a change was found; retracted: its batch was undone; restored: that rollback was undone; published: a batch; codes: the types of codes changed.';
COMMENT ON COLUMN zoning.change_log.change_id IS 'The change; NULL: it is about a batch or about codes.';
COMMENT ON COLUMN zoning.change_log.batch_id IS 'The batch; NULL: it is about a change or about codes.';
COMMENT ON COLUMN zoning.change_log.at IS 'When it was written.';

COMMENT ON TABLE zoning.subscription IS 'A consumer of changes: where they are sent, which ones, and how far it is.';
COMMENT ON COLUMN zoning.subscription.id IS 'Number of the subscription.';
COMMENT ON COLUMN zoning.subscription.key IS 'Unique in all databases; names the cursor in the database of a consumer.';
COMMENT ON COLUMN zoning.subscription.name IS 'Name that a person gave.';
COMMENT ON COLUMN zoning.subscription.sink IS 'webhook, email, atom, delta (files), or postgis (a table in the database of the consumer).';
COMMENT ON COLUMN zoning.subscription.target IS 'Address without user, password and query; the complete one is in subscription_secret.';
COMMENT ON COLUMN zoning.subscription.consumer_table IS 'Table in the database of the consumer; NULL: the sink is no database.';
COMMENT ON COLUMN zoning.subscription.allowed_networks IS 'Networks (CIDR) that are not public and that a webhook may nevertheless call.';
COMMENT ON COLUMN zoning.subscription.daily IS 'Whether it is delivered at most once a day (UTC).';
COMMENT ON COLUMN zoning.subscription.jurisdiction IS 'Only this jurisdiction; NULL: all.';
COMMENT ON COLUMN zoning.subscription.area IS 'Only changes that touch this area; EPSG:4326. NULL: everywhere.';
COMMENT ON COLUMN zoning.subscription.kinds IS 'Only these kinds of changes; NULL: all.';
COMMENT ON COLUMN zoning.subscription.code_pattern IS 'Only if the code before or after matches this pattern of LIKE; NULL: any code.';
COMMENT ON COLUMN zoning.subscription.min_area_m2 IS 'Only changes of at least so many square metres; NULL: any area.';
COMMENT ON COLUMN zoning.subscription.follows IS 'Whether only the parcels in subscription_parcel count.';
COMMENT ON COLUMN zoning.subscription.position IS 'Everything up to this position of change_log is delivered, or is a dead letter.';
COMMENT ON COLUMN zoning.subscription.sending_to IS 'Last position of the delivery in progress; it is repeated with the same content after a failure. NULL: none is in progress.';
COMMENT ON COLUMN zoning.subscription.attempts IS 'Failed attempts of the delivery in progress.';
COMMENT ON COLUMN zoning.subscription.not_before IS 'The next attempt is not made before; NULL: at once.';
COMMENT ON COLUMN zoning.subscription.error IS 'Why the last attempt failed; NULL: it did not.';
COMMENT ON COLUMN zoning.subscription.paused IS 'Whether a person paused it.';
COMMENT ON COLUMN zoning.subscription.delivered IS 'Number of changes (postgis: of rows) that were delivered.';
COMMENT ON COLUMN zoning.subscription.last_delivered IS 'When the last ones were delivered; NULL: never.';
COMMENT ON COLUMN zoning.subscription.created IS 'When it was added.';
COMMENT ON COLUMN zoning.subscription.actor IS 'Who added it.';

COMMENT ON TABLE zoning.subscription_secret IS 'The secrets of a subscription; readers may not read them.';
COMMENT ON COLUMN zoning.subscription_secret.subscription IS 'The subscription.';
COMMENT ON COLUMN zoning.subscription_secret.target IS 'The complete address.';
COMMENT ON COLUMN zoning.subscription_secret.signing_key IS 'Key of the signatures of a webhook; NULL: the sink is no webhook.';

COMMENT ON TABLE zoning.subscription_parcel IS 'The parcels of a subscription, and the parcels that they became.';
COMMENT ON COLUMN zoning.subscription_parcel.subscription IS 'The subscription.';
COMMENT ON COLUMN zoning.subscription_parcel.parcel_id IS 'The parcel.';
COMMENT ON COLUMN zoning.subscription_parcel.came_from IS 'The parcel that became this one; NULL: a person chose it.';
COMMENT ON COLUMN zoning.subscription_parcel.position IS 'Position of change_log since which it is followed.';

COMMENT ON TABLE zoning.schema_version IS 'The newest migration that was applied (Alembic).';
COMMENT ON COLUMN zoning.schema_version.version_num IS 'Its number.';
COMMENT ON COLUMN zoning.schema_version.compatible_from IS 'The oldest version of the program that may work with it.';

-- The other columns of a history table have the comments of the current table.
DO $$ DECLARE each record; BEGIN
    FOR each IN
        SELECT h.relname AS history, a.attname AS name, col_description(c.oid, a.attnum) AS says
        FROM pg_class h
        JOIN pg_class c ON c.relnamespace = h.relnamespace AND c.relname || '_version' = h.relname
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        WHERE h.relnamespace = 'zoning'::regnamespace AND h.relname <> 'schema_version'
    LOOP
        EXECUTE 'COMMENT ON COLUMN zoning.' || quote_ident(each.history) || '.' || quote_ident(each.name) || ' IS '
            || quote_literal(each.says);
    END LOOP;
END $$;
