"""Public catalogues of layers, read into proposals of jurisdiction files. No portal is asked here.

Everything in a catalogue is untrusted: names, addresses, sizes and types.

    catalogue_document  decodes a document, and detects its form
    catalogue_entry     what all forms are read into: entries, problems, entries that are passed over
    entry_address       which addresses are accepted
    openaddresses       source files of OpenAddresses
    arcgis_catalogues   answers of ArcGIS Hub and ArcGIS Online
    distribution_lists  answers of CKAN, and data.json (DCAT-US)
    entry_file          the proposed jurisdiction file of an entry
"""
